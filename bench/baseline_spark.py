"""Baseline A: what most people write first, and one try_ without which one bad timestamp ends the job. Run by spark-submit: INPUT OUTPUT."""

import sys

from pyspark.sql import SparkSession
from pyspark.sql.functions import col, try_to_timestamp

source, output = sys.argv[1:]
spark = SparkSession.builder.appName("baseline").getOrCreate()
(
    spark.read.option("recursiveFileLookup", "true")
    .json(source)
    .dropDuplicates(["room_id", "message_id"])
    .withColumn("date", try_to_timestamp(col("timestamp")).cast("date"))
    .write.format("delta")
    .mode("overwrite")
    .partitionBy("date")
    .save(output)
)

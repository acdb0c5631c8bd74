"""Baseline A: the usual Spark job. Run by spark-submit: INPUT OUTPUT.

It uses `try_to_timestamp`, because plain `to_date` would end the job at the first invalid timestamp.
"""

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

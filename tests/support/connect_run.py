"""A program of its own, for Spark Connect and a classic session cannot share a process: the samples through Connect.

Arguments: the input and the output. Prints the receipts, as a list.
"""

import json
import os
import sys

os.environ["PYSPARK_PYTHON"] = sys.executable
# pyspark's own way to a free port: 15002, its default, may be taken by another run of these tests.
os.environ["SPARK_TESTING"] = "1"
os.environ["PYSPARK_SUBMIT_ARGS"] = (
    "--conf spark.driver.host=localhost --conf spark.driver.bindAddress=127.0.0.1 --conf spark.ui.enabled=false"
    " pyspark-shell"
)

from pyspark.sql import SparkSession

from daily_batch.domain.receipt import to_json
from daily_batch.pipeline.runners.spark import SparkRunner
from tests.support.day_runs import run_day_with


def main() -> None:
    source, target = sys.argv[1:]
    spark = SparkSession.builder.remote("local[2]").getOrCreate()
    assert type(spark).__module__.startswith("pyspark.sql.connect"), "a classic session proves nothing here"
    runner = SparkRunner(spark)
    receipts = [
        run_day_with(runner, input=source, output=target, tenant=tenant, table_format=table_format)
        for tenant, table_format in (("acme", "delta"), ("globex", "parquet"))
    ]
    print(json.dumps([json.loads(to_json(receipt)) for receipt in receipts]))
    spark.stop()


if __name__ == "__main__":
    main()

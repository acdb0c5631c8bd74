"""Run the samples on Spark Connect in a separate process, because a process cannot have a classic session as well.

Arguments: the input, the output. It prints the list of receipts as JSON.
"""

import json
import os
import sys

os.environ["PYSPARK_PYTHON"] = sys.executable
# PySpark then chooses a free port; the default, 15002, may be in use by another run of the tests.
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
    assert type(spark).__module__.startswith("pyspark.sql.connect"), "the session is not a Spark Connect session"
    runner = SparkRunner(spark)
    receipts = [
        run_day_with(runner, input=source, output=target, tenant=tenant, table_format=table_format)
        for tenant, table_format in (("acme", "delta"), ("globex", "parquet"))
    ]
    print(json.dumps([json.loads(to_json(receipt)) for receipt in receipts]))
    spark.stop()


if __name__ == "__main__":
    main()

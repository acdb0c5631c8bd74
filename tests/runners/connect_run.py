"""A program of its own, for Spark Connect and a classic session cannot share a process: one tenant-day through Connect.

Arguments: the input, the output, the tenant, the table format. Prints the receipt.
"""

import os
import sys
from pathlib import Path

from pyspark.sql import SparkSession

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from day_runs import run_day_with

from daily_batch.receipt import to_json
from daily_batch.runners.spark import SparkRunner


def main() -> None:
    source, target, tenant, table_format = sys.argv[1:]
    os.environ["PYSPARK_PYTHON"] = sys.executable
    # The way of pyspark itself to a free port: 15002, its default, may be taken by another run of these tests.
    os.environ["SPARK_TESTING"] = "1"
    builder = SparkSession.builder.remote("local[2]").appName("makoto-daily-batch-connect")
    for name, value in {
        "spark.driver.host": "localhost",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
    }.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    assert type(spark).__module__.startswith("pyspark.sql.connect"), "a classic session proves nothing here"
    runner = SparkRunner(spark)  # type: ignore[arg-type]  # another class with the same methods
    receipt = run_day_with(runner, input=source, output=target, tenant=tenant, table_format=table_format)
    print(to_json(receipt))
    spark.stop()


if __name__ == "__main__":
    main()

"""Run a day on Spark with separate executors and S3A, then read tables with delta-spark.

Arguments: the bucket, the folder for the rows read, the prefix to publish to, the prefix of another output to read.
It is a separate program, because the packages of a JVM are fixed at its start. The AWS_* variables locate the server.
"""

import os
import sys
from pathlib import Path

import pyarrow.parquet

from daily_batch.domain.contract import MESSAGES, REJECTS, SUMMARY_DAILY
from daily_batch.pipeline.runners.spark import SparkRunner
from tests.support.day_runs import run_day_with
from tests.support.spark_session import JARS_CONF, ROOT, read_conf, start_session

# These cover all types, nested values and the files that map tasks write.
TABLES_READ = (REJECTS.name, MESSAGES.name, SUMMARY_DAILY.name)
HADOOP_AWS = "org.apache.hadoop:hadoop-aws:3.4.2"


def main() -> None:
    bucket, folder, own_prefix, other_prefix = sys.argv[1:]
    jars = read_conf(JARS_CONF)
    session = start_session(
        warehouse=Path(folder) / "warehouse",
        extra_conf={
            # Executors share no disk with the driver, so the manifest must reach them through the bucket.
            "spark.master": "local-cluster[2,1,1024]",
            "spark.executor.memory": "1g",
            # Delta and hadoop-aws come together, from a folder of their own.
            **jars,
            "spark.jars": "",
            "spark.jars.ivy": str(ROOT / ".cache/ivy"),
            "spark.jars.packages": f"{jars['spark.jars.packages']},{HADOOP_AWS}",
            "spark.hadoop.fs.s3a.endpoint": os.environ["AWS_ENDPOINT_URL"],
            "spark.hadoop.fs.s3a.endpoint.region": os.environ["AWS_REGION"],
            "spark.hadoop.fs.s3a.path.style.access": "true",
            "spark.hadoop.fs.s3a.access.key": os.environ["AWS_ACCESS_KEY_ID"],
            "spark.hadoop.fs.s3a.secret.key": os.environ["AWS_SECRET_ACCESS_KEY"],
            "spark.sql.shuffle.partitions": "2",
        },
    )
    url = f"s3://{bucket}"
    options = {name.lower(): value for name, value in os.environ.items() if name.startswith("AWS_")}
    runner = SparkRunner(session)
    run_day_with(runner, input=f"{url}/in", output=f"{url}/{own_prefix}", options=options, buckets=3)
    for prefix in (own_prefix, other_prefix):
        for name in TABLES_READ:
            frame = session.read.format("delta").load(f"s3a://{bucket}/{prefix}/acme/analytics/{name}")
            target = Path(folder) / prefix
            target.mkdir(parents=True, exist_ok=True)
            pyarrow.parquet.write_table(frame.toArrow(), target / f"{name}.parquet")
    session.stop()


if __name__ == "__main__":
    main()

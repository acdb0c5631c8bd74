"""Test that the tests run on the pinned Spark release."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.day_runs import ROOT
from tests.support.spark_session import JARS_CONF, read_conf

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.each_spark


def read_pins(file: Path) -> dict[str, str]:
    return dict(line.split("==") for line in file.read_text().splitlines() if "==" in line and not line.startswith("#"))


def test_session_and_delta_have_the_pinned_release(spark: "SparkSession") -> None:
    older = "TESTED_SPARK_CONF" in os.environ
    pins = read_pins(ROOT / ("tests/spark-4.0.txt" if older else "constraints.txt"))
    assert spark.version == pins["pyspark"]
    (jars,) = read_conf(JARS_CONF)["spark.jars.packages"].split(",")
    group, artifact, version = jars.split(":")
    assert (group, version) == ("io.delta", pins["delta-spark"])
    # Since 4.1 the artifact name includes the Spark release.
    assert artifact == ("delta-spark_2.13" if older else f"delta-spark_{spark.version.rpartition('.')[0]}_2.13")


def test_workers_run_the_spark_release_of_the_session(spark: "SparkSession") -> None:
    from pyspark.sql.functions import udf

    def version(_: int) -> str:
        import pyspark

        return pyspark.__version__

    worker_version = spark.range(1).select(udf(version, "string")("id")).collect()[0][0]
    assert worker_version == spark.version

"""A Spark session of the tests, set up from the product's own conf/spark/local.conf."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).resolve().parents[2]
# `make test-older-spark` has one of its own, for the older release that is still supported.
LOCAL_CONF = Path(os.environ.get("TESTED_SPARK_CONF", ROOT / "conf/spark/local.conf"))


def read_conf(path: Path = LOCAL_CONF) -> dict[str, str]:
    """The settings of a spark-submit properties file, its paths made independent of the current folder."""
    lines = (line.strip() for line in path.read_text().splitlines())
    pairs = dict(line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))
    return {name: value.replace("conf/spark/", f"{ROOT}/conf/spark/") for name, value in pairs.items()} | {
        "spark.jars.ivy": str(ROOT / pairs["spark.jars.ivy"]),
        "spark.pyspark.python": sys.executable,
    }


def start_session(*, warehouse: Path, more: Mapping[str, str] | None = None) -> "SparkSession":
    """A classic session in this process; settings that only spark-submit reads are given where Python reads them."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    builder = SparkSession.builder.appName("makoto-daily-batch-tests")
    for name, value in (read_conf() | {"spark.sql.warehouse.dir": str(warehouse)} | dict(more or {})).items():
        builder = builder.config(name, value)
    return builder.getOrCreate()

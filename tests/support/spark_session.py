"""Start the tests' Spark session with the product's conf/spark/local.conf."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).resolve().parents[2]
# `make test-older-spark` sets the variable for the older supported release.
LOCAL_CONF = Path(os.environ.get("TESTED_SPARK_CONF", ROOT / "conf/spark/local.conf"))
JARS_CONF = LOCAL_CONF.with_name("jars.conf")
_RELATIVE = ("conf/spark/", ".cache/", ".venv/")


def read_conf(path: Path = LOCAL_CONF) -> dict[str, str]:
    """Return the settings of a spark-submit properties file, with absolute paths."""
    lines = (line.strip() for line in path.read_text().splitlines())
    pairs = dict(line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))
    pairs |= {name: f"{ROOT}/{value}" for name, value in pairs.items() if value.startswith(_RELATIVE)}
    # The JVM's options name their file in the middle.
    pairs = {name: value.replace("=conf/spark/", f"={ROOT}/conf/spark/") for name, value in pairs.items()}
    return pairs | {"spark.pyspark.python": sys.executable}


def start_session(*, warehouse: Path, extra_conf: Mapping[str, str] | None = None) -> "SparkSession":
    """Start a classic session in this process with the settings of `LOCAL_CONF` and `extra_conf`.

    An empty value leaves a setting out: PySpark would otherwise set what spark-submit has derived to that value.
    """
    from pyspark.sql import SparkSession

    # Outside of spark-submit, PySpark reads the interpreter from these variables only.
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    builder = SparkSession.builder.appName("makoto-daily-batch-tests")
    for name, value in (read_conf() | {"spark.sql.warehouse.dir": str(warehouse)} | dict(extra_conf or {})).items():
        if value:
            builder = builder.config(name, value)
    return builder.getOrCreate()

"""Start the tests' Spark session with the product's conf/spark/local.conf."""

import os
import sys
import tempfile
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

    They reach the JVM in a properties file, as with spark-submit, which derives others from them, such as the jars of
    packages. PySpark would overwrite those with the settings of a builder.
    """
    from pyspark.sql import SparkSession

    # Outside of spark-submit, PySpark reads the interpreter from these variables only.
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    conf = read_conf() | {"spark.sql.warehouse.dir": str(warehouse)} | dict(extra_conf or {})
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as properties:
        properties.writelines(f"{name} {value}\n" for name, value in conf.items())
        properties.flush()
        os.environ["PYSPARK_SUBMIT_ARGS"] = f"--properties-file {properties.name} pyspark-shell"
        session = SparkSession.builder.appName("makoto-daily-batch-tests").getOrCreate()
    # The file is gone, and other processes that start Spark must not look for it.
    del os.environ["PYSPARK_SUBMIT_ARGS"]
    return session

"""The settings for one's own cluster: Spark knows each, and a day runs with them and a shipped Python."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from makoto_packaging.environment import pack_thin
from tests.support.day_runs import ROOT, SAMPLES, child_environment, read_tables, run_arguments, run_local
from tests.support.spark_session import read_conf

CLUSTER_CONF = ROOT / "conf/spark/cluster.conf"
# Spark reads it by its name alone.
UNREGISTERED = {"spark.local.dir"}
# Modules of Spark register their settings when they are loaded.
MODULES = (
    "org.apache.spark.internal.config.package$",
    "org.apache.spark.internal.config.Python$",
    "org.apache.spark.deploy.k8s.Config$",
)


def test_spark_knows_every_setting(spark: Any) -> None:
    for name in MODULES:
        spark._jvm.java.lang.Class.forName(name)
    page = (ROOT / "docs/spark-cluster.md").read_text(encoding="utf-8")
    named = set(re.findall(r"--conf (spark\.[\w.]+)=", page)) | set(read_conf(CLUSTER_CONF))
    known = spark._jvm.org.apache.spark.internal.config.ConfigEntry
    assert known.findEntry("spark.executor.memoryOverhad") is None
    assert {name for name in named if known.findEntry(name) is None} == UNREGISTERED


@pytest.mark.long
def test_day_runs_with_the_settings_and_a_shipped_python(tmp_path: Path) -> None:
    archive = pack_thin(interpreter=Path(sys.executable), out=tmp_path / "environment.tar.gz")
    local = tmp_path / "local"
    local.mkdir()
    # This machine is smaller and has no disk of its own for Spark.
    conf = {
        "spark.executor.cores": "1",
        "spark.executor.memory": "512m",
        "spark.driver.memory": "512m",
        "spark.local.dir": str(local),
        "spark.pyspark.python": "./environment/bin/python",
        "spark.pyspark.driver.python": sys.executable,
        "spark.ui.enabled": "false",
    }
    command = [
        *(str(Path(sys.executable).with_name("spark-submit")), "--master", "local-cluster[2,1,1024]"),
        *("--properties-file", str(CLUSTER_CONF), "--archives", f"{archive}#environment"),
        *(word for name, value in conf.items() for word in ("--conf", f"{name}={value}")),
        *("jobs/daily_messages.py", *run_arguments(input=SAMPLES, output=tmp_path / "output")),
    ]
    # The machine's own address may be unreachable, as in a sandbox.
    environment = child_environment(SPARK_LOCAL_IP="127.0.0.1", PYTHONPATH=str(ROOT / "jobs"))
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    run_local(input=SAMPLES, output=tmp_path / "expected")
    assert read_tables(tmp_path / "output") == read_tables(tmp_path / "expected")

"""Test that the Spark runner over Spark Connect, which Databricks serverless uses, publishes the local tables."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.day_runs import ROOT, SAMPLES, child_environment, read_tables, run_local

pytestmark = [pytest.mark.each_spark, pytest.mark.long]


def test_spark_connect_and_local_tables_are_equal(tmp_path: Path) -> None:
    # A relative input: Connect's workers do not run in the driver's working directory.
    completed = subprocess.run(
        [sys.executable, "-m", "tests.support.connect_run", "samples", str(tmp_path / "connect")],
        cwd=ROOT,
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert completed.returncode == 0, completed.stderr[-3000:]
    by_tenant = {receipt["tenant"]: receipt for receipt in json.loads(completed.stdout)}
    for tenant, table_format in (("acme", "delta"), ("globex", "parquet")):
        day = {"tenant": tenant, "table_format": table_format}
        local = run_local(input=SAMPLES, output=tmp_path / "local", **day)
        receipt = by_tenant[tenant]
        assert receipt["runner"] == "spark"
        assert receipt["records"] == vars(local.records)
        assert (receipt["rejects"], receipt["flags"]) == (local.rejects, local.flags)
        assert read_tables(tmp_path / "connect", **day) == read_tables(tmp_path / "local", **day)

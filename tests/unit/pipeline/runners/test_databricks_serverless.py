"""Jobs on Databricks serverless: they fail early if workers cannot reach storage, and respect the memory limit."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from daily_batch.domain.url import parse_url
from daily_batch.entrypoints.daily_messages import app
from daily_batch.errors import TerminalError, UsageError
from daily_batch.orchestration.preflight import find_missing
from daily_batch.pipeline.runners.databricks_serverless import MEMORY_BYTES, fit_compute, is_serverless
from daily_batch.pipeline.runners.spark import SparkRunner
from daily_batch.settings import load_settings
from daily_batch.storage.stores import Storage

SERVERLESS = ({"IS_SERVERLESS": "TRUE"}, {"DATABRICKS_RUNTIME_VERSION": "client.4.9"})
CLUSTER = {"DATABRICKS_RUNTIME_VERSION": "17.3"}
LAKE = "abfss://data@lake.dfs.core.windows.net/x"
VOLUME = "/Volumes/main/chat/data"


@pytest.mark.parametrize("environ", SERVERLESS)
def test_serverless_is_detected_by_its_environment(environ: dict[str, str]) -> None:
    assert is_serverless(environ)
    assert not is_serverless(CLUSTER)
    assert not is_serverless({})


@pytest.mark.parametrize("environ", SERVERLESS)
@pytest.mark.parametrize("url", [LAKE, "s3://bucket/x"])
def test_url_without_network_access_is_refused_with_a_next_step(environ: dict[str, str], url: str) -> None:
    for flags in ({"input": url, "output": VOLUME}, {"input": VOLUME, "output": url}):
        settings = load_settings(flags=flags, environ={})
        assert fit_compute(settings, CLUSTER) == settings
        with pytest.raises(UsageError) as raised:
            fit_compute(settings, environ)
        assert raised.value.what == (
            f"{url} cannot be used: on Databricks serverless no worker has a network or an identity"
        )
        assert raised.value.next_step == "run the job on a cluster (docs/databricks.md, Serverless)"


@pytest.mark.parametrize("environ", SERVERLESS)
def test_memory_is_limited_to_a_workers_and_a_smaller_setting_stays(environ: dict[str, str]) -> None:
    flags = {"input": VOLUME, "output": VOLUME}
    assert fit_compute(load_settings(flags=flags, environ={}), environ).limits.memory_bytes == MEMORY_BYTES
    small = load_settings(flags={**flags, "memory_bytes": "100000000"}, environ={})
    assert fit_compute(small, environ).limits.memory_bytes == 100_000_000


@pytest.mark.parametrize("lease", [[], ["--run-id", "r", "--token", "1"]])
def test_job_exits_with_status_2_before_spark_and_storage(monkeypatch: pytest.MonkeyPatch, lease: list[str]) -> None:
    def fail_to_start() -> None:
        raise AssertionError("Spark was started")

    monkeypatch.setattr("daily_batch.pipeline.runners.spark.current_session", fail_to_start)
    monkeypatch.setenv("IS_SERVERLESS", "true")
    arguments = ["--tenant", "acme", "--date", "2025-08-12", "--input", LAKE, "--output", LAKE, *lease]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "on Databricks serverless no worker has a network or an identity" in result.stderr
    assert "Next step: run the job on a cluster" in result.stderr


def test_smoke_job_reports_an_unreachable_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "IS_SERVERLESS", "true")
    missing = find_missing(Storage(input=parse_url(str(tmp_path)), output=parse_url(LAKE)))
    assert missing == f"output {LAKE}: on Databricks serverless no worker has a network or an identity"


def test_spark_without_configurable_settings_is_a_terminal_error() -> None:
    def refuse(name: str, *_: str) -> str:
        raise RuntimeError(f"[CONFIG_NOT_AVAILABLE] Configuration {name} is not available. SQLSTATE: 42K0I")

    spark = SimpleNamespace(conf=SimpleNamespace(get=refuse, set=refuse))
    with (
        pytest.raises(TerminalError, match="this Spark does not accept the job's settings") as raised,
        SparkRunner(cast("Any", spark))._configured(),
    ):
        pass
    assert "on a cluster" in raised.value.next_step

"""The run command: one tenant after another, receipts alone on standard output, all else on standard error."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from daily_batch.cli import app
from daily_batch.errors import LeaseHeldError, RetryableError, TerminalError, UsageError
from daily_batch.pipeline.runners.local import LocalRunner
from tests.support.day_runs import DAY, SAMPLES, read_tables

SECRET = "what-a-message-says"
# Returns the Spark runner of this process.
StartSpark = Callable[[], Any]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TENANT_ID", "TARGET_DATE_OFFSET", "S3_BUCKET_NAME", "COSMOS_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def replace_spark(monkeypatch: pytest.MonkeyPatch) -> Callable[[StartSpark], None]:
    """Return a function that replaces the start of Spark."""

    def start_instead(start: StartSpark) -> None:
        monkeypatch.setattr("daily_batch.pipeline.runners.spark.start_local", start)

    return start_instead


def run(output: Path, *options: str, tenants: str = "acme", runner: str = "local") -> Result:
    defaults = [f"--tenant={tenants}", "--date", DAY.isoformat(), "--input", str(SAMPLES), "--output", str(output)]
    return CliRunner().invoke(app, ["run", *defaults, "--runner", runner, *options])


def test_standard_output_holds_only_json(tmp_path: Path) -> None:
    result = run(tmp_path, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["receipts"][0]["tenant"] == "acme"
    assert "publish: 6/6 tables" in result.stderr


def test_output_without_json_is_a_table(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.exit_code == 0
    assert "COMPLETED_WITH_REJECTS  acme 2025-08-12" in result.stdout
    assert "{" not in result.stdout


def test_several_tenants_return_a_list_and_have_separate_tables(tmp_path: Path) -> None:
    file = tmp_path / "deep/receipts.json"
    result = run(tmp_path, "--json", "--receipt", str(file), tenants="acme,globex")
    assert result.exit_code == 0
    receipts = json.loads(result.stdout)["receipts"]
    assert [receipt["tenant"] for receipt in receipts] == ["acme", "globex"]
    assert json.loads(file.read_text()) == {"receipts": receipts}
    for tenant, rows in (("acme", 282), ("globex", 556)):
        assert len(read_tables(tmp_path, tenant=tenant)["messages"]) == rows


class FailingFor:
    """A local runner that fails for one tenant."""

    name = "local"

    def __init__(self, tenant: str, error: Exception) -> None:
        self.tenant, self.error = tenant, error

    def run(self, manifest: Any, *, spec: Any, **rest: Any) -> Any:
        if spec.tenant == self.tenant:
            raise self.error
        return LocalRunner().run(manifest, spec=spec, **rest)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RetryableError("it was down", next_step="try again"), 1),
        (TerminalError("it is denied", next_step="allow it"), 3),
        (LeaseHeldError("held", next_step="nothing"), 4),
        (ValueError(SECRET), 1),
        (MemoryError(), 1),
    ],
)
def test_failed_tenant_does_not_stop_the_next_tenant(
    tmp_path: Path, replace_spark: Callable[[StartSpark], None], error: Exception, status: int
) -> None:
    replace_spark(lambda: FailingFor("acme", error))
    result = run(tmp_path, "--json", tenants="acme,globex", runner="spark")
    assert result.exit_code == status
    assert json.loads(result.stdout)["receipts"][0]["tenant"] == "globex"
    assert [line for line in result.stderr.splitlines() if line.startswith('{"error": ')]


@pytest.mark.parametrize("debug", [False, True])
def test_unexpected_error_names_its_location_and_never_its_text(
    tmp_path: Path, replace_spark: Callable[[StartSpark], None], debug: bool
) -> None:
    replace_spark(lambda: FailingFor("acme", ValueError(SECRET)))
    result = run(tmp_path, *(["--debug"] if debug else []), runner="spark")
    assert result.exit_code == 1
    assert "ValueError at test_run.py:" in result.stderr
    assert SECRET not in result.output
    assert ("process_day.py" in result.stderr) is debug


@pytest.mark.parametrize("runner_error", [UsageError("no pyspark", next_step="install it"), RuntimeError(SECRET)])
def test_runner_that_fails_to_start_publishes_nothing(
    tmp_path: Path, replace_spark: Callable[[StartSpark], None], runner_error: Exception
) -> None:
    def fail() -> Any:
        raise runner_error

    replace_spark(fail)
    result = run(tmp_path / "out", runner="spark")
    assert result.exit_code == (2 if isinstance(runner_error, UsageError) else 1)
    assert not (tmp_path / "out/acme").exists()
    assert SECRET not in result.output


@pytest.mark.parametrize(
    "tenant", ["..", "a/b", "%2e%2e", "a\\b", "a\0b", "", "a" * 300, "*", "{a,b}", "[a]", "аcme", "-a", "acme,.."]
)
def test_hostile_tenant_is_refused_before_anything_is_created(
    tmp_path: Path, replace_spark: Callable[[StartSpark], None], tenant: str
) -> None:
    starts: list[object] = []
    replace_spark(lambda: starts.append(LocalRunner) or LocalRunner())  # type: ignore[func-returns-value]
    result = run(tmp_path / "out", tenants=tenant, runner="spark")
    assert result.exit_code == 2
    assert not starts
    assert not (tmp_path / "out").exists()
    assert "\0" not in result.output


def test_show_config_prints_origins_without_secrets_and_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSMOS_KEY", SECRET)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("TENANT_ID", "initech")
    monkeypatch.setenv("COLUMNS", "300")
    result = CliRunner().invoke(app, ["run", "--output", str(tmp_path / "out"), "--show-config"])
    assert result.exit_code == 0
    lines = {words[0]: words[1:] for words in map(str.split, result.stdout.splitlines()) if words}
    assert "initech" in " ".join(lines["tenants"])
    assert "TENANT_ID" in " ".join(lines["tenants"])
    assert lines["table_format"][0] == "delta"
    assert "cosmos_key" in lines
    assert SECRET not in result.output
    assert not (tmp_path / "out").exists()

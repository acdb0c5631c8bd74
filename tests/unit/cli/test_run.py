"""The run command: tenants one by one, receipts on standard output alone, everything else on standard error."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daily_batch.commands.run import RunOptions, run_command
from daily_batch.errors import LeaseHeldError, RetryableError, TerminalError, UsageError
from daily_batch.pipeline.runners.local import LocalRunner
from tests.support.day_runs import DAY, SAMPLES, read_tables

SECRET = "what-a-message-says"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TENANT_ID", "TARGET_DATE_OFFSET", "S3_BUCKET_NAME", "COSMOS_KEY"):
        monkeypatch.delenv(name, raising=False)


def run(output: Path, *, tenants: str = "acme", runner: Any = None, **options: Any) -> int:
    flags = {"tenants": tenants, "date": DAY.isoformat(), "input": str(SAMPLES), "output": str(output)}
    flags["runner"] = "spark" if runner else "local"
    return run_command(flags, RunOptions(**options), spark=lambda: runner)


def test_json_is_alone_on_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, as_json=True) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["tenant"] == "acme"
    assert "published messages: 282 rows" in told.err


def test_a_person_gets_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path) == 0
    told = capsys.readouterr()
    assert "COMPLETED_WITH_REJECTS  acme 2025-08-12" in told.out
    assert "{" not in told.out


def test_several_tenants_give_a_list_and_each_its_own_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "deep/receipts.json"
    assert run(tmp_path, tenants="acme,globex", as_json=True, receipt_file=file) == 0
    told = capsys.readouterr().out
    assert [receipt["tenant"] for receipt in json.loads(told)] == ["acme", "globex"]
    assert json.loads(file.read_text()) == json.loads(told)
    for tenant, rows in (("acme", 282), ("globex", 556)):
        assert len(read_tables(tmp_path, tenant=tenant)["messages"]) == rows


class FailingFor:
    """The local runner, but one tenant's day fails."""

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
def test_a_failed_tenant_does_not_keep_the_next_from_its_day(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], error: Exception, status: int
) -> None:
    assert run(tmp_path, tenants="acme,globex", runner=FailingFor("acme", error), as_json=True) == status
    told = capsys.readouterr()
    assert json.loads(told.out)["tenant"] == "globex"
    assert [line for line in told.err.splitlines() if line.startswith("error: ")]


@pytest.mark.parametrize("debug", [False, True])
def test_an_unexpected_error_names_its_place_and_never_its_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], debug: bool
) -> None:
    assert run(tmp_path, runner=FailingFor("acme", ValueError(SECRET)), debug=debug) == 1
    told = capsys.readouterr()
    assert "ValueError at test_run.py:" in told.err
    assert SECRET not in told.out + told.err
    assert ("run_day" in told.err) is debug


@pytest.mark.parametrize("runner_error", [UsageError("no pyspark", next_step="install it"), RuntimeError(SECRET)])
def test_a_runner_that_cannot_be_made_reads_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], runner_error: Exception
) -> None:
    def make_runner() -> Any:
        raise runner_error

    flags = {"tenants": "acme", "date": DAY.isoformat(), "input": str(SAMPLES), "output": str(tmp_path / "out")}
    status = run_command({**flags, "runner": "spark"}, RunOptions(), spark=make_runner)
    assert status == (2 if isinstance(runner_error, UsageError) else 1)
    assert not (tmp_path / "out/acme").exists()
    assert SECRET not in capsys.readouterr().err


@pytest.mark.parametrize(
    "tenant", ["..", "a/b", "%2e%2e", "a\\b", "a\0b", "", "a" * 300, "*", "{a,b}", "[a]", "аcme", "-a", "acme,.."]
)
def test_a_hostile_tenant_is_refused_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tenant: str
) -> None:
    made: list[Callable[[], Any]] = []
    flags = {"tenants": tenant, "date": DAY.isoformat(), "input": str(SAMPLES), "output": str(tmp_path / "out")}
    flags["runner"] = "spark"
    assert run_command(flags, RunOptions(), spark=lambda: made.append(LocalRunner) or LocalRunner()) == 2  # type: ignore[func-returns-value]
    assert not made
    assert not (tmp_path / "out").exists()
    assert "\0" not in capsys.readouterr().err


def test_show_config_tells_origins_and_no_secret_and_runs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSMOS_KEY", SECRET)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("TENANT_ID", "initech")
    monkeypatch.setenv("COLUMNS", "300")
    flags: dict[str, object] = {"output": str(tmp_path / "out"), "table_format": None}
    assert run_command(flags, RunOptions(show_config=True), spark=LocalRunner) == 0
    told = capsys.readouterr().out
    lines = {words[0]: words[1:] for words in map(str.split, told.splitlines()) if words}
    assert "initech" in " ".join(lines["tenants"])
    assert "TENANT_ID" in " ".join(lines["tenants"])
    assert lines["table_format"][0] == "delta"
    assert "cosmos_key" in lines
    assert SECRET not in told
    assert not (tmp_path / "out").exists()

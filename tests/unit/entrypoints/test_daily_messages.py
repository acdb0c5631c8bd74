"""The wheel task's entry point: empty parameters are not given, and only a failure leaves by SystemExit."""

import sys

import pytest
import typer

from daily_batch.entrypoints.daily_messages import main
from daily_batch.entrypoints.wheel_task import call_as_task, drop_empty


def test_empty_parameters_are_dropped() -> None:
    given = ["--tenant=acme", "--date=", "--settings={}", "--input=abfss://c@a.dfs.core.windows.net/x=", "--json", "="]
    kept = ["--tenant=acme", "--settings={}", "--input=abfss://c@a.dfs.core.windows.net/x=", "--json", "="]
    assert drop_empty(given) == kept


@pytest.mark.parametrize(("status", "left"), [(0, None), (3, 3)])
def test_task_returns_on_success_and_exits_with_its_status_on_failure(
    status: int, left: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, seen = typer.Typer(), []

    @app.command()
    def run(date: str = "none") -> None:
        seen.append(date)
        raise typer.Exit(status)

    monkeypatch.setattr(sys, "argv", ["task", "--date="])
    ended = None
    try:
        call_as_task(app)
    except SystemExit as end:
        ended = end.code
    assert (seen, ended) == (["none"], left)


def test_entry_point_passes_its_parameters_to_the_job(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = [f"--{name}=" for name in ("date", "run-id", "token", "settings", "catalog")]
    monkeypatch.setattr(sys, "argv", ["task", "--tenant=acme,globex", "--output=out", *empty, "--show-config"])
    main()
    shown = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert shown["tenants"] == ["acme,", "globex", "flag", "--tenant"]
    assert shown["spark"] == ["here", "flag", "--spark"]
    assert shown["date"][-1] == "default"


def test_invalid_parameter_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["task", "--tenant=../x", "--output=out", "--input=in"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "tenant id '../x' is not allowed" in capsys.readouterr().err

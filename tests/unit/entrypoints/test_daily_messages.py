"""The wheel task's entry point: empty parameters are dropped, and only a failure raises SystemExit."""

import sys

import pytest
import typer

from daily_batch.entrypoints.daily_messages import main
from daily_batch.entrypoints.wheel_task import call_as_task, drop_empty


def test_empty_parameters_are_dropped() -> None:
    parameters = [
        "--tenant=acme",
        "--date=",
        "--settings={}",
        "--input=abfss://c@a.dfs.core.windows.net/x=",
        "--json",
        "=",
    ]
    expected = ["--tenant=acme", "--settings={}", "--input=abfss://c@a.dfs.core.windows.net/x=", "--json", "="]
    assert drop_empty(parameters) == expected


@pytest.mark.parametrize(("status", "exit_code"), [(0, None), (3, 3)])
def test_task_returns_on_success_and_exits_with_its_status_on_failure(
    status: int, exit_code: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, received = typer.Typer(), []

    @app.command()
    def run(date: str = "none") -> None:
        received.append(date)
        raise typer.Exit(status)

    monkeypatch.setattr(sys, "argv", ["task", "--date="])
    raised = None
    try:
        call_as_task(app)
    except SystemExit as error:
        raised = error.code
    assert (received, raised) == (["none"], exit_code)


def test_entry_point_passes_its_parameters_to_the_job(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = [f"--{name}=" for name in ("date", "run-id", "token", "settings", "catalog")]
    monkeypatch.setattr(sys, "argv", ["task", "--tenant=acme,globex", "--output=out", *empty, "--show-config"])
    main()
    settings = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert settings["tenants"] == ["acme,", "globex", "flag", "--tenant"]
    assert settings["spark"] == ["here", "flag", "--spark"]
    assert settings["date"][-1] == "default"


def test_invalid_parameter_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["task", "--tenant=../x", "--output=out", "--input=in"])
    with pytest.raises(SystemExit) as exit_error:
        main()
    assert exit_error.value.code == 2
    assert "tenant id '../x' is not allowed" in capsys.readouterr().err

"""Run commands of makoto-batch in this process, for a day of the tenant acme."""

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from daily_batch.cli import app
from tests.support.day_runs import DAY


def invoke(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Return the exit code, stdout and stderr of a command."""
    result = CliRunner(env=environment).invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def invoke_json(*arguments: str, **environment: str) -> tuple[int, Any]:
    """Return the exit code of a command with --json, and its parsed output or stderr; of plan and replay the day."""
    code, stdout, stderr = invoke(*arguments, "--json", **environment)
    if not stdout:
        return code, stderr
    result = json.loads(stdout)
    return code, result["days"][0] if arguments[0] in ("plan", "replay") else result


def run_command(
    source: Path, output: Path, *more: str, tenant: str = "acme", command: str = "run"
) -> tuple[int, Any, str]:
    """Run a command with --json for the day; return its exit code, parsed output (a run's receipt) and stderr."""
    days = ("--from", str(DAY), "--to", str(DAY)) if command == "backfill" else ("--date", str(DAY))
    locations = ("--input", str(source), "--output", str(output))
    code, stdout, stderr = invoke(command, "--tenant", tenant, *days, *locations, *more, "--json")
    result = json.loads(stdout) if stdout else None
    if result and command == "run":
        (result,) = result["receipts"]
    return code, result, stderr

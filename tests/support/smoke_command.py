"""Run `makoto-batch smoke` in this process."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from typer.testing import CliRunner

from daily_batch.cli import app


class SmokeResult(NamedTuple):
    """Result of the command."""

    status: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """The only line of the standard error that starts with `error: `."""
        (line,) = [line for line in self.stderr.splitlines() if line.startswith("error: ")]
        return line


RunSmoke = Callable[..., SmokeResult]


def run_smoke(variables: Mapping[str, str], folder: Path, *arguments: str) -> SmokeResult:
    """Run the command with a worker's environment variables, which are written to a folder."""
    file = folder / "worker.json"
    file.write_text(json.dumps(dict(variables)))
    return invoke_smoke("--variables", str(file), *arguments)


def invoke_smoke(*arguments: str) -> SmokeResult:
    """Run the command with its arguments."""
    result = CliRunner().invoke(app, ["smoke", *arguments])
    return SmokeResult(result.exit_code, result.stdout, result.stderr)

"""How a Databricks wheel task calls a command: in its own process, with the job's parameters in `sys.argv`."""

import re
import sys
from collections.abc import Sequence

import typer


def call_as_task(command: typer.Typer) -> None:
    """Run a command with the task's parameters; return after success, and leave by SystemExit only after a failure."""
    try:
        command(args=drop_empty(sys.argv[1:]), prog_name=sys.argv[0])
    except SystemExit as end:
        if end.code:
            raise


def drop_empty(arguments: Sequence[str]) -> list[str]:
    """Return the arguments without those like `--date=`: a job parameter that was not given comes as empty text."""
    return [argument for argument in arguments if not re.fullmatch(r"--[a-z-]+=", argument)]

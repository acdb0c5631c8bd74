"""The group of commands: their help under headings, and their usage errors in the form of all other errors."""

import sys
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from daily_batch.cli.output import report_failure
from daily_batch.errors import UsageError

# Longer than any first paragraph of a command's help: Click cuts it at its default of 45.
WHOLE = 1_000


class CommandGroup(TyperGroup):
    """Commands in the order in which they were added, by heading."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each heading's commands with their complete summaries."""
        commands = [self.commands[name] for name in self.list_commands(ctx)]
        for heading, group in groupby(
            commands, key=lambda command: getattr(command, "rich_help_panel", None) or "Commands"
        ):
            with formatter.section(heading):
                formatter.write_dl([(str(each.name), each.get_short_help_str(WHOLE)) for each in group])

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        """Run a command; report a usage error as every other error, and as JSON with `--json`."""
        return run_reported(super().main, args, *rest, **options)


class SingleCommand(TyperCommand):
    """A program that is one command."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        """Run the command, as a group does."""
        return run_reported(super().main, args, *rest, **options)


def run_reported(main: Any, args: Sequence[str] | None, *rest: Any, **options: Any) -> Any:
    """Call Click's `main`, and exit with its status."""
    words = sys.argv[1:] if args is None else list(args)
    try:
        status = main(words, *rest, **(options | {"standalone_mode": False}))
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        program = context.command_path if context else "makoto-batch"
        what = str(getattr(error, "format_message", error.__str__)()).rstrip(".")
        what = " ".join(what.replace("Value error, ", "").split())
        failure = UsageError(what[:1].lower() + what[1:], next_step=f"see {program} --help")
        sys.exit(report_failure(failure, debug=False, json_output="--json" in words))
    sys.exit(status if isinstance(status, int) else 0)

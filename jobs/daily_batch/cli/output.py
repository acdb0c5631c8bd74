"""How commands answer: results on standard output, everything else on standard error, an exit status for the rest."""

import json
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from daily_batch.cli.quiet import quiet_libraries
from daily_batch.domain.receipt import Receipt, to_dict
from daily_batch.errors import BatchError, describe_unexpected
from daily_batch.settings import Settings

UNEXPECTED = 1
INTERRUPTED = 1
PIPE_WIDTH = 200


def console() -> Console:
    """Standard output for a person. A pipe has no width: its lines may be as long as they need to be."""
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)


def guarded(command: Callable[[], int], *, debug: bool) -> int:
    """The exit status of a command; what it raises is told in one line, and by nobody else."""
    quiet_libraries()
    try:
        return command()
    except (Exception, KeyboardInterrupt) as error:
        return report_failure(error, debug=debug)


def report_failure(error: BaseException, *, debug: bool) -> int:
    """Say on standard error what failed, in one line; return the exit status of DESIGN's interface."""
    if debug:
        # The frames alone: a message may quote what was being read, and content never reaches a log.
        print("".join(traceback.format_tb(error.__traceback__)), file=sys.stderr, end="")
    if isinstance(error, BatchError):
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        print("stopped; what was published stays. Next step: the same command goes on.", file=sys.stderr)
        return INTERRUPTED
    what = describe_unexpected(error)
    print(f"error: unexpected {what}. Next step: run again with --debug and report it.", file=sys.stderr)
    return UNEXPECTED


def print_json(value: object) -> None:
    """A value as indented JSON, alone on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def hand_over_receipts(receipts: Sequence[Receipt], *, as_json: bool, receipt_file: Path | None) -> None:
    """One receipt is an object, several are a list, none is nothing."""
    if not receipts:
        return
    values = [to_dict(receipt) for receipt in receipts]
    whole = values[0] if len(values) == 1 else values
    if receipt_file:
        receipt_file.parent.mkdir(parents=True, exist_ok=True)
        receipt_file.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if as_json:
        print_json(whole)


def show_settings(settings: Settings) -> None:
    """Print each setting, its value with secrets masked, and where it came from."""
    table = Table("setting", "value", "from", box=None)
    for name, value, origin in settings.explain():
        table.add_row(name, value, origin)
    console().print(table)


def print_rows(columns: Mapping[str, str], rows: Sequence[Mapping[str, object]], *, folded: str = "") -> None:
    """Rows as a table for a person; `columns` are headings by name, numbers stand to the right, `folded` may wrap."""
    table = Table(box=None, pad_edge=False)
    for name, heading in columns.items():
        number = any(isinstance(row[name], int) for row in rows)
        table.add_column(heading, justify="right" if number else "left", no_wrap=name != folded, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_show(row[name])) for name in columns))
    console().print(table)


def _show(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)

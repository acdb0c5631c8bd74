"""What commands print: results on standard output, everything else on standard error, errors as an exit status."""

import json
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from daily_batch.errors import BatchError, InterruptedRunError, RetryableError, describe_unexpected, is_retryable
from daily_batch.telemetry import quiet_libraries

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from daily_batch.domain.receipt import Receipt, Shrink
    from daily_batch.settings import Settings

PIPE_WIDTH = 200
MAX_SHOWN = 5
DRY_RUN = "dry run: nothing was changed. Next step: check the list, then add --confirm."
# Keeps a line from breaking inside a count; printed as a space.
NO_BREAK = "\u00a0"


@contextmanager
def exit_on_error(*, debug: bool, json_output: bool = False) -> Iterator[None]:
    """Report an error of the body in one line on standard error, and exit with its status.

    Raises:
        typer.Exit: the body failed, or exited by itself.
    """
    quiet_libraries()
    try:
        yield
    except (typer.Exit, BrokenPipeError):
        raise
    except (Exception, KeyboardInterrupt) as error:
        raise typer.Exit(report_failure(error, debug=debug, json_output=json_output)) from None


def report_failure(error: BaseException, *, debug: bool, json_output: bool = False) -> int:
    """Print what failed on standard error, in one line, and return the exit status.

    Args:
        debug: print the frames too.
        json_output: print a JSON object with `error`, `retryable` and `next_step`, and `tenant` and `date` if known.
    """
    if debug:
        # The frames alone: the error's text may quote what was being read, and message content never reaches a log.
        print("".join(traceback.format_tb(error.__traceback__)), file=sys.stderr, end="")
    failure = _as_batch_error(error)
    if json_output:
        context = {"tenant": failure.tenant, "date": failure.day}
        value = {"error": failure.what, "retryable": is_retryable(failure), "next_step": failure.next_step}
        value |= {name: text for name, text in context.items() if text != "-"}
        print(json.dumps(value, ensure_ascii=False), file=sys.stderr)
    else:
        print(f"error: {failure}", file=sys.stderr)
    return failure.exit_code


def _as_batch_error(error: BaseException) -> BatchError:
    """Return an error with its next step."""
    if isinstance(error, BatchError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return InterruptedRunError()
    what = f"unexpected {describe_unexpected(error)}"
    return RetryableError(what, next_step="run again with --debug and report it")


def console() -> "Console":
    """Return standard output for people. A pipe has no width, so its lines may be as long as they need."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)


def print_plain(renderable: "RenderableType") -> None:
    """Print for people, without the blanks with which tables fill their lines."""
    target = console()
    with target.capture() as captured:
        target.print(renderable)
    lines = captured.get().replace(NO_BREAK, " ").splitlines()
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in lines))


def print_json(value: object) -> None:
    """Print a value as indented JSON on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def print_table(columns: Mapping[str, str], rows: Sequence[Mapping[str, object]], *, wrapped: str = "") -> None:
    """Print rows as a table.

    Args:
        columns: headings by the rows' keys; columns with numbers are right-aligned.
        wrapped: the column that may wrap.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name, heading in columns.items():
        number = any(isinstance(row[name], int) for row in rows)
        table.add_column(heading, justify="right" if number else "left", no_wrap=name != wrapped, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_format_cell(row[name])) for name in columns))
    print_plain(table)


def _format_cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)


def print_settings(settings: "Settings") -> None:
    """Print each setting, its value with secrets masked, and its origin."""
    from rich.table import Table

    table = Table("setting", "value", "from", box=None)
    for name, value, origin in settings.explain():
        table.add_row(name, value, origin)
    print_plain(table)


def write_receipts(receipts: "Sequence[Receipt]", *, json_output: bool, receipt_file: Path | None) -> None:
    """Write receipts as JSON, `{"receipts": [...]}`, to a file, to standard output, or both; nothing without any."""
    from daily_batch.domain.receipt import to_dict

    if not receipts:
        return
    value = {"receipts": [to_dict(receipt) for receipt in receipts]}
    if receipt_file:
        receipt_file.parent.mkdir(parents=True, exist_ok=True)
        receipt_file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if json_output:
        print_json(value)


def render_receipt(receipt: "Receipt") -> "RenderableType":
    """Return a receipt for the terminal: counts of objects and records, warnings, the tables, seconds by stage."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from daily_batch.domain.quality import describe_warnings
    from daily_batch.domain.receipt import loss_warning

    color = {"COMPLETED": "green", "COMPLETED_WITH_REJECTS": "yellow", "FAILED": "red"}[receipt.status]
    title = Text.assemble(
        (receipt.status, f"bold {color}"), f"  {receipt.tenant} {receipt.date}  run {receipt.run_id}\n"
    )
    title.append(f"{receipt.runner} runner, {receipt.layout} to {receipt.format}, {receipt.output}", "dim")
    parts: list[RenderableType] = [
        title,
        _render_counts("objects", asdict(receipt.objects)),
        _render_counts("records", asdict(receipt.records)),
    ]
    if receipt.rejects:
        parts.append(_render_counts("rejects", receipt.rejects))
    parts += _render_most_frequent("flags", receipt.flags)
    parts += _render_most_frequent("fields", receipt.unknown_fields)
    if loss := loss_warning(receipt):
        parts.append(Text.assemble(("WARNING  ", "bold yellow"), (loss, "yellow")))
    if receipt.shrink:
        parts.append(Text(_describe_shrink(receipt.shrink, receipt), "yellow"))
    if warnings := describe_warnings(receipt.quality):
        parts.append(Text.assemble(("quality  ", "bold"), (warnings, "yellow")))
    if receipt.overflows:
        rows = ", ".join(f"{count:,} of {name}" for name, count in receipt.overflows.items())
        overflow = f"tokens_used is null where its sum does not fit a BIGINT: rows {rows}"
        parts.append(Text.assemble(("sums     ", "bold"), (overflow, "yellow")))
    tables = Table("table", box=box.SIMPLE)
    for name in ("rows", "files", "bytes", "version"):
        tables.add_column(name, justify="right")
    for name, counts in receipt.tables.items():
        version = "-" if counts.version is None else str(counts.version)
        tables.add_row(name, f"{counts.rows:,}", f"{counts.files:,}", f"{counts.bytes:,}", version)
    seconds = Text("seconds  ", "bold")
    seconds.append(Text("  ".join(f"{name} {spent:.1f}" for name, spent in receipt.seconds.items()), style="not bold"))
    return Group(*parts, tables, seconds)


def _describe_shrink(shrink: "Shrink", receipt: "Receipt") -> str:
    before = f"{shrink.messages:,} messages" + ("" if shrink.objects is None else f", {shrink.objects:,} objects")
    return f"shrunk   allowed by {shrink.by}: before {before}; now {receipt.records.written:,} messages"


def _render_counts(name: str, counts: Mapping[str, int]) -> "Text":
    """Return a line of counts that wraps between them: the space inside a count does not break."""
    from rich.text import Text

    line = Text(f"{name:8} ", "bold")
    line.append(Text("  ".join(f"{key} {count:,}".replace(" ", NO_BREAK) for key, count in counts.items()), "not bold"))
    return line


def _render_most_frequent(name: str, counts: Mapping[str, int]) -> "Iterator[RenderableType]":
    """Yield a line of the highest counts, and one that says how many are not shown."""
    shown = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MAX_SHOWN])
    if shown:
        yield _render_counts(name, shown)
    if len(counts) > len(shown):
        yield f"{'':8} and {len(counts) - len(shown)} more {name}; --json has all"

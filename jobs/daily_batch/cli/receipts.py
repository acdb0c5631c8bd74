"""A receipt for a person: what became of objects and records, the tables, and where the time went."""

from collections.abc import Mapping
from dataclasses import asdict

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from daily_batch.domain.quality import describe_warnings
from daily_batch.domain.receipt import Receipt, Shrink, loss_warning


def render(receipt: Receipt) -> RenderableType:
    """Return the receipt for a person: what became of objects and records, the tables, and where the time went."""
    color = {"COMPLETED": "green", "COMPLETED_WITH_REJECTS": "yellow", "FAILED": "red"}[receipt.status]
    title = Text.assemble(
        (receipt.status, f"bold {color}"), f"  {receipt.tenant} {receipt.date}  run {receipt.run_id}\n"
    )
    title.append(f"{receipt.runner} runner, {receipt.layout} to {receipt.format}, {receipt.output}", "dim")
    parts: list[RenderableType] = [
        title,
        _counts("objects", asdict(receipt.objects)),
        _counts("records", asdict(receipt.records)),
    ]
    parts += [
        _counts(name, counts) for name, counts in (("rejects", receipt.rejects), ("flags", receipt.flags)) if counts
    ]
    if lost := loss_warning(receipt):
        parts.append(Text.assemble(("WARNING  ", "bold yellow"), (lost, "yellow")))
    if receipt.shrink:
        parts.append(Text(_describe_shrink(receipt.shrink, receipt), "yellow"))
    if warned := describe_warnings(receipt.quality):
        parts.append(Text.assemble(("quality  ", "bold"), (warned, "yellow")))
    if receipt.overflows:
        rows = ", ".join(f"{count:,} of {name}" for name, count in receipt.overflows.items())
        warned = f"tokens_used is null where its sum does not fit a BIGINT: rows {rows}"
        parts.append(Text.assemble(("sums     ", "bold"), (warned, "yellow")))
    tables = Table("table", box=box.SIMPLE)
    for name in ("rows", "files", "bytes", "version"):
        tables.add_column(name, justify="right")
    for name, counts in receipt.tables.items():
        version = "-" if counts.version is None else str(counts.version)
        tables.add_row(name, f"{counts.rows:,}", f"{counts.files:,}", f"{counts.bytes:,}", version)
    seconds = Text("seconds  ", "bold")
    seconds.append(Text("  ".join(f"{name} {spent:.1f}" for name, spent in receipt.seconds.items()), style="not bold"))
    return Group(*parts, tables, seconds)


def _describe_shrink(shrink: Shrink, receipt: Receipt) -> str:
    before = f"{shrink.messages:,} messages" + ("" if shrink.objects is None else f", {shrink.objects:,} objects")
    return f"shrunk   allowed by {shrink.by}: before {before}; now {receipt.records.written:,} messages"


def _counts(name: str, counts: Mapping[str, int]) -> Text:
    """Return one line of counts; they wrap at spaces."""
    line = Text(f"{name:8} ", "bold")
    line.append(Text("  ".join(f"{key}\u00a0{count:,}" for key, count in counts.items()), style="not bold"))
    return line

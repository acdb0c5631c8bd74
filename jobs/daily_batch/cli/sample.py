"""Messages are made up."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from daily_batch.cli.options import Debug

app = typer.Typer()


class SampleLayout(StrEnum):
    """How a sample's messages are stored."""

    MESSAGES = "messages"
    EXPORT = "export"


class CompressionChoice(StrEnum):
    """How an export's files are compressed; `mixed` takes turns."""

    GZIP = "gzip"
    ZSTD = "zstd"
    NONE = "none"
    MIXED = "mixed"


@app.command(
    epilog="Example: makoto-batch sample --messages 100000 --layout export --seed 1 --out out/input"
    " --rates default,duplicates=0.05"
)
def sample(
    out: Annotated[Path, typer.Option(help="Folder to write {tenant}/… and {tenant}-truth.json to.")],
    messages: Annotated[int, typer.Option(help="How many distinct messages.")] = 1000,
    layout: Annotated[
        SampleLayout, typer.Option(help="Objects of one message, or export files.")
    ] = SampleLayout.EXPORT,
    seed: Annotated[int, typer.Option(help="The same seed writes the same bytes.")] = 1,
    tenant: Annotated[str, typer.Option(help="Tenant id.")] = "acme",
    date: Annotated[str, typer.Option(help="Business day, yyyy-mm-dd.")] = "2025-08-12",
    rates: Annotated[str, typer.Option(help="default, none or rich, and name=share pairs, with commas.")] = "default",
    files: Annotated[int, typer.Option(help="Files of an export; 0: by size.")] = 0,
    compression: Annotated[CompressionChoice, typer.Option(help="Of an export's files.")] = CompressionChoice.GZIP,
    workers: Annotated[int, typer.Option(help="Processes.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="The truth alone, as JSON, on standard output.")] = False,
    debug: Debug = False,
) -> None:
    """Write a day of messages of any size, and the truth that a run of it must report."""
    from daily_batch.commands.sample import sample_command

    status = sample_command(
        out=out,
        messages=messages,
        layout="export" if layout is SampleLayout.EXPORT else "messages",
        seed=seed,
        tenant=tenant,
        date=date,
        rates=rates,
        files=files,
        compression=compression.value,
        workers=workers,
        as_json=json,
        debug=debug,
    )
    raise typer.Exit(status)

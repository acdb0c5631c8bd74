"""`makoto-batch sample`: a generated day of messages, and the truth that a run of it must report."""

from pathlib import Path
from typing import Annotated

import typer

from daily_batch.cli.options import DebugOption, JsonOption, examples
from daily_batch.cli.output import exit_on_error, print_json
from daily_batch.domain.calendar import parse_day
from daily_batch.domain.run import Compression, Layout

app = typer.Typer()


@app.command(
    rich_help_panel="Prepare",
    epilog=examples(
        "makoto-batch sample --out out/input",
        "makoto-batch sample --messages 20000 --layout messages --rates default,duplicates=0.05 --out out/objects",
    ),
)
def sample(
    out: Annotated[Path, typer.Option(help="Folder to write {tenant}/… and {tenant}-truth.json to.")],
    messages: Annotated[int, typer.Option(help="Number of distinct messages.")] = 1000,
    layout: Annotated[Layout, typer.Option(help="Objects of one message, or export files.")] = "export",
    seed: Annotated[int, typer.Option(help="The same seed writes the same bytes.")] = 1,
    tenant: Annotated[str, typer.Option(help="Tenant ID.")] = "acme",
    date: Annotated[str, typer.Option(help="Business day, yyyy-mm-dd.")] = "2025-08-12",
    rates: Annotated[
        str, typer.Option(help="Rates of faults: default, none or rich, and name=share pairs, separated by commas.")
    ] = "default",
    files: Annotated[int, typer.Option(help="Number of export files; 0: by size.")] = 0,
    compression: Annotated[Compression, typer.Option(help="Compression of export files.")] = "gzip",
    workers: Annotated[int, typer.Option(help="Number of processes.")] = 1,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Generate a day of messages of any size, and the truth that a run of it must report."""
    from daily_batch.synthetic import FaultRates, generate

    with exit_on_error(debug=debug):
        truth = generate(
            messages=messages,
            layout=layout,
            seed=seed,
            out=out,
            tenant=tenant,
            day=parse_day(date),
            rates=FaultRates.parse(rates),
            files=files,
            compression=compression,
            workers=workers,
        )
        if json:
            print_json(truth._asdict())
            return
        print(f"wrote {truth.records['seen']:,} records in {truth.objects['listed']:,} objects below {out / tenant}")
        print(f"what a run of the day must report: {out / f'{tenant}-truth.json'}")

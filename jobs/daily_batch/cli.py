"""The command line `makoto-batch`. Heavy modules are imported by the command that needs them."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from daily_batch.runners.outcome import Runner

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Turn each tenant's business day of chat messages into clean tables, and prove that nothing was lost.",
)


class RunnerChoice(StrEnum):
    """Where the work is done."""

    AUTO = "auto"
    LOCAL = "local"
    SPARK = "spark"


class LayoutChoice(StrEnum):
    """How the messages are stored."""

    AUTO = "auto"
    MESSAGES = "messages"
    EXPORT = "export"


class FormatChoice(StrEnum):
    """How the tables are stored."""

    DELTA = "delta"
    PARQUET = "parquet"


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


Tenant = Annotated[str | None, typer.Option(help="Tenant id, or several with commas. Default: TENANT_ID.")]
Day = Annotated[str | None, typer.Option("--date", help="Business day, yyyy-mm-dd. Default: TARGET_DATE_OFFSET.")]
Input = Annotated[str | None, typer.Option(help="Folder or URL that holds {tenant}/… .")]
Output = Annotated[str | None, typer.Option(help="Folder or URL for {tenant}/analytics/… .")]
Layout = Annotated[LayoutChoice | None, typer.Option(help="How messages are stored. Default: auto.")]
Format = Annotated[FormatChoice | None, typer.Option("--format", help="Delta or Parquet. Default: delta.")]
ReceiptFile = Annotated[Path | None, typer.Option("--receipt", help="Also write the receipt to this file.")]
AsJson = Annotated[bool, typer.Option("--json", help="The receipt alone, as JSON, on standard output.")]
ShowConfig = Annotated[bool, typer.Option("--show-config", help="Print every setting and its origin, and stop.")]
Debug = Annotated[bool, typer.Option(help="Print the whole trace of a failure.")]


@app.callback()
def _main() -> None:
    pass


@app.command(epilog="Example: makoto-batch run --tenant acme --date 2025-08-12 --input samples --output out --json")
def run(
    tenant: Tenant = None,
    date: Day = None,
    input: Input = None,  # noqa: A002 - the flag's name
    output: Output = None,
    runner: Annotated[RunnerChoice, typer.Option(help="Where the work is done.")] = RunnerChoice.AUTO,
    layout: Layout = None,
    format: Format = None,  # noqa: A002 - the flag's name
    receipt: ReceiptFile = None,
    json: AsJson = False,
    show_config: ShowConfig = False,
    debug: Debug = False,
) -> None:
    """Turn one business day of messages into tables, and print the receipt."""
    from daily_batch.command import run_command

    status = run_command(
        as_flags(tenant=tenant, date=date, input=input, output=output, layout=layout, table_format=format),
        make_runner=lambda: _make_runner(runner),
        as_json=json,
        receipt_file=receipt,
        show_config=show_config,
        debug=debug,
    )
    raise typer.Exit(status)


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
    from daily_batch.sample.command import sample_command

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


def as_flags(
    *,
    tenant: str | None,
    date: str | None,
    input: str | None,  # noqa: A002 - the flag's name
    output: str | None,
    layout: LayoutChoice | None,
    table_format: FormatChoice | None,
) -> dict[str, object]:
    """Flags by their settings' names; what was not given is None."""
    return {
        "tenants": None if tenant is None else tenant,
        "date": date,
        "input": input,
        "output": output,
        "layout": layout and layout.value,
        "table_format": table_format and table_format.value,
    }


def _make_runner(choice: RunnerChoice) -> "Runner":
    if choice is not RunnerChoice.SPARK:
        from daily_batch.runners.local import LocalRunner

        return LocalRunner()
    from daily_batch.runners.spark import start_local

    return start_local()


def main() -> None:
    """Entry point of the installed command."""
    app(prog_name="makoto-batch")


if __name__ == "__main__":
    main()

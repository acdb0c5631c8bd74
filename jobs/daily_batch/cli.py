"""The command line `makoto-batch`. Heavy modules are imported by the command that needs them."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from daily_batch.runners.outcome import Runner

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None, help=__doc__)


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

"""The flags that commands share, and the settings that they stand for."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


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


class DiscoveryChoice(StrEnum):
    """How a day's rooms are found."""

    LISTING = "listing"
    METADATA = "metadata"


Tenant = Annotated[str | None, typer.Option(help="Tenant id, or several with commas. Default: TENANT_ID.")]
Day = Annotated[str | None, typer.Option("--date", help="Business day, yyyy-mm-dd. Default: TARGET_DATE_OFFSET.")]
Input = Annotated[str | None, typer.Option(help="Folder or URL that holds {tenant}/… .")]
Output = Annotated[str | None, typer.Option(help="Folder or URL for {tenant}/analytics/… .")]
Layout = Annotated[LayoutChoice | None, typer.Option(help="How messages are stored. Default: auto.")]
Format = Annotated[FormatChoice | None, typer.Option("--format", help="Delta or Parquet. Default: delta.")]
RunnerOption = Annotated[RunnerChoice | None, typer.Option(help="Where the work is done. Default: auto.")]
Discovery = Annotated[DiscoveryChoice | None, typer.Option(help="How a day's rooms are found. Default: listing.")]
LedgerOption = Annotated[str | None, typer.Option(help="dynamodb, cosmos or an SQLite file. Default: by settings.")]
ReceiptFile = Annotated[Path | None, typer.Option("--receipt", help="Also write the receipt to this file.")]
AsJson = Annotated[bool, typer.Option("--json", help="The answer alone, as JSON, on standard output.")]
ShowConfig = Annotated[bool, typer.Option("--show-config", help="Print every setting and its origin, and stop.")]
Debug = Annotated[bool, typer.Option("--debug", help="Print the whole trace of a failure.")]
AllTenants = Annotated[bool, typer.Option("--all-tenants", help="Every tenant that there is, whatever --tenant says.")]
First = Annotated[str | None, typer.Option("--from", help="First day of a range, yyyy-mm-dd.")]
UpkeepDryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")]
Last = Annotated[str | None, typer.Option("--to", help="Last day of a range, yyyy-mm-dd.")]


AllowShrink = Annotated[
    bool, typer.Option("--allow-shrink", help="It is meant that the day loses rows; the receipt says who said so.")
]


def who_allows(allowed: bool) -> str:
    """Who allows that days lose rows, as the receipt names them; empty: nobody."""
    from daily_batch.ledger.process import current_process, current_user

    return f"{current_user()}, {current_process()}" if allowed else ""


def as_flags(**given: object) -> dict[str, object]:
    """Flags by their settings' names; what was not given is None."""
    names = {"tenant": "tenants", "format": "table_format"}
    values = {name: value.value if isinstance(value, StrEnum) else value for name, value in given.items()}
    return {names.get(name, name): value for name, value in values.items()}

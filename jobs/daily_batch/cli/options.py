"""Command-line options that several commands share. Those that set a setting have its description as their help."""

import os
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from daily_batch.domain.calendar import business_day, days_between, parse_day
from daily_batch.domain.run import Discovery, InputLayout, RunnerChoice, TableFormat
from daily_batch.errors import UsageError
from daily_batch.settings import Settings, help_text
from daily_batch.settings.load import CONF_DIR, ENV

if TYPE_CHECKING:
    from daily_batch.maintenance.subject import Subject

TenantOption = Annotated[str | None, typer.Option("--tenant", help=help_text("tenants"))]
AllTenantsOption = Annotated[bool, typer.Option("--all-tenants", help="Every known tenant; overrides --tenant.")]
DateOption = Annotated[str | None, typer.Option("--date", help=help_text("date"))]
FromOption = Annotated[str | None, typer.Option("--from", help="First day of the range, yyyy-mm-dd.")]
ToOption = Annotated[str | None, typer.Option("--to", help="Last day of the range, yyyy-mm-dd.")]
InputOption = Annotated[str | None, typer.Option("--input", help=help_text("input"))]
OutputOption = Annotated[str | None, typer.Option("--output", help=help_text("output"))]
LayoutOption = Annotated[InputLayout | None, typer.Option("--layout", help=help_text("layout"))]
FormatOption = Annotated[TableFormat | None, typer.Option("--format", help=help_text("table_format"))]
RunnerOption = Annotated[RunnerChoice | None, typer.Option("--runner", help=help_text("runner"))]
DiscoveryOption = Annotated[Discovery | None, typer.Option("--discovery", help=help_text("discovery"))]
LedgerOption = Annotated[str | None, typer.Option("--ledger", help=help_text("ledger"))]
AllowShrinkOption = Annotated[
    bool,
    typer.Option("--allow-shrink", help="Allow the day to lose published rows; the receipt records who allowed it."),
]
ReceiptOption = Annotated[Path | None, typer.Option("--receipt", help="Also write the receipt to this file.")]
ConfOption = Annotated[
    Path | None,
    typer.Option("--conf", help="Folder of defaults.toml and <env>.toml, instead of MAKOTO_CONF_DIR."),
]
EnvOption = Annotated[
    str | None, typer.Option("--env", help="Settings of <env>.toml in the conf folder, instead of MAKOTO_ENV.")
]
UserOption = Annotated[list[str] | None, typer.Option("--user", help="ID of a user; repeat it for more.")]
UsersOption = Annotated[
    typer.FileText | None,
    typer.Option("--users", encoding="utf-8", help="File with IDs of users, one a line; - reads standard input."),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be done; change nothing.")]
ConfirmOption = Annotated[
    bool, typer.Option("--confirm/--dry-run", help="Do it. Without it, only show what would be done.")
]
CheckOption = Annotated[bool, typer.Option("--check", help="Exit with status 1 if a day needs attention.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print only JSON on standard output.")]
ShowConfigOption = Annotated[bool, typer.Option("--show-config", help="Print every setting and its origin, and exit.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Print the stack trace of an error.")]

HELP_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

DEFAULT_DAYS = 7


def examples(*commands: str) -> str:
    """Return examples for the end of a help text, each on lines of its own."""
    return "\b\nExamples:\n" + "\n".join(f"  {command}" for command in commands)


def as_flags(**options: object) -> dict[str, object]:
    """Return option values by the names of their settings; an option that was not given is None."""
    names = {"tenant": "tenants", "format": "table_format"}
    return {names.get(name, name): value for name, value in options.items()}


def read_environment(conf: Path | None, env: str | None) -> dict[str, str]:
    """Return the environment's variables; `--conf` and `--env` take the place of MAKOTO_CONF_DIR and MAKOTO_ENV."""
    chosen = {CONF_DIR: str(conf) if conf else None, ENV: env}
    return dict(os.environ) | {variable: value for variable, value in chosen.items() if value is not None}


def read_ids(given: Sequence[str] | None, file: TextIO | None) -> list[str]:
    """Return the ids of `--user` and of the file of `--users`, without blank lines; spaces belong to an id.

    Raises:
        UsageError: the file is not UTF-8.
    """
    try:
        lines = file.read().split("\n") if file else []
    except UnicodeDecodeError as error:
        raise UsageError("the file of ids is not UTF-8", next_step="save it as UTF-8") from error
    return [*(given or ()), *(line.removesuffix("\r") for line in lines if line.strip())]


def make_subject(tenant: str, users: Sequence[str], rooms: Sequence[str], *, mentions: bool = False) -> "Subject":
    """Return the subject of `--user`, `--users` or `--room`.

    Raises:
        UsageError: there is none, or there are users and rooms.
    """
    from daily_batch.maintenance.subject import Subject

    if bool(users) == bool(rooms):
        step = "give either --user (or --users) or --room"
        raise UsageError("it is not clear whom to erase", next_step=step, tenant=tenant)
    return Subject(tenant, "user" if users else "room", frozenset(users or rooms), mentions=mentions)


def find_approver(allow_shrink: bool) -> str:
    """Return who allows that days lose rows, for the receipt: user and process; empty without `--allow-shrink`."""
    from daily_batch.ledger.process import current_process, current_user

    return f"{current_user()}, {current_process()}" if allow_shrink else ""


def choose_days(first: str | None, last: str | None, settings: Settings, now: datetime) -> list[date]:
    """Return the days of `--from` and `--to`; without them, the last seven that have ended.

    Raises:
        UsageError: one is not a day, or the first is after the last.
    """
    yesterday = business_day(now, offset=-1, zone=settings.timezone)
    end = parse_day(last) if last else max(yesterday, parse_day(first or str(yesterday)))
    start = parse_day(first) if first else end - timedelta(days=DEFAULT_DAYS - 1)
    return list(days_between(start, end, max_days=settings.max_range_days))

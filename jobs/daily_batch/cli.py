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


class DiscoveryChoice(StrEnum):
    """How a day's rooms are found."""

    LISTING = "listing"
    METADATA = "metadata"


class EngineChoice(StrEnum):
    """Who reads the tables by SQL."""

    ATHENA = "athena"
    SYNAPSE = "synapse"
    DATABRICKS = "databricks"


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


class LangChoice(StrEnum):
    """A report's language."""

    EN = "en"
    JA = "ja"


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


@app.callback()
def _main() -> None:
    pass


@app.command(epilog="Example: makoto-batch run --tenant acme --date 2025-08-12 --input samples --output out --json")
def run(
    tenant: Tenant = None,
    date: Day = None,
    input: Input = None,  # noqa: A002 - the flag's name
    output: Output = None,
    runner: RunnerOption = None,
    layout: Layout = None,
    format: Format = None,  # noqa: A002 - the flag's name
    discovery: Discovery = None,
    ledger: LedgerOption = None,
    all_tenants: AllTenants = False,
    look_back: Annotated[int, typer.Option(min=0, help="Also run so many days before, if they changed.")] = 0,
    if_changed: Annotated[bool, typer.Option("--if-changed", help="Do nothing if no object changed.")] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Take the lease of a run that is known to be dead.")
    ] = False,
    receipt: ReceiptFile = None,
    json: AsJson = False,
    show_config: ShowConfig = False,
    debug: Debug = False,
) -> None:
    """Turn one business day of messages into tables, and print the receipt."""
    from daily_batch.commands.run import RunOptions, run_command

    options = RunOptions(
        all_tenants=all_tenants,
        if_changed=if_changed,
        look_back=look_back,
        take_over=take_over,
        as_json=json,
        receipt_file=receipt,
        show_config=show_config,
        debug=debug,
    )
    flags = as_flags(tenant=tenant, date=date, input=input, output=output, layout=layout, format=format)
    flags |= as_flags(runner=runner, discovery=discovery, ledger=ledger)
    raise typer.Exit(run_command(flags, options, spark=_start_spark))


@app.command(epilog="Example: makoto-batch plan --tenant acme --date 2025-08-12 --input samples --output out")
def plan(
    tenant: Tenant = None,
    date: Day = None,
    input: Input = None,  # noqa: A002 - the flag's name
    output: Output = None,
    runner: RunnerOption = None,
    layout: Layout = None,
    discovery: Discovery = None,
    ledger: LedgerOption = None,
    verify_discovery: Annotated[
        bool, typer.Option("--verify-discovery", help="Name the rooms that the metadata store does not know.")
    ] = False,
    cost: Annotated[bool, typer.Option("--cost", help="Also what it takes and costs in each cloud.")] = False,
    json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show what a day holds, which runner would take it, why, and at what cost; write nothing."""
    from daily_batch.commands.plan import plan_command

    flags = as_flags(tenant=tenant, date=date, input=input, output=output, layout=layout)
    flags |= as_flags(runner=runner, discovery=discovery, ledger=ledger)
    raise typer.Exit(plan_command(flags, compare=verify_discovery, cost=cost, as_json=json, debug=debug))


@app.command(
    epilog="Example: makoto-batch backfill --tenant acme --from 2025-08-01 --to 2025-08-12 --input samples --output out"
)
def backfill(
    first: Annotated[str, typer.Option("--from", help="First day, yyyy-mm-dd.")],
    last: Annotated[str, typer.Option("--to", help="Last day, yyyy-mm-dd.")],
    tenant: Tenant = None,
    input: Input = None,  # noqa: A002 - the flag's name
    output: Output = None,
    runner: RunnerOption = None,
    layout: Layout = None,
    format: Format = None,  # noqa: A002 - the flag's name
    discovery: Discovery = None,
    ledger: LedgerOption = None,
    all_tenants: AllTenants = False,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="Days at work at once.")] = 1,
    force: Annotated[bool, typer.Option("--force", help="Run days again that did not change.")] = False,
    json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Run every day of a range that changed or never ran; stopped and started again, it goes on."""
    from daily_batch.commands.backfill import BackfillOptions, backfill_command

    options = BackfillOptions(
        first=first,
        last=last,
        all_tenants=all_tenants,
        parallel=parallel,
        force=force,
        as_json=json,
        debug=debug,
    )
    flags = as_flags(tenant=tenant, input=input, output=output, layout=layout, format=format)
    flags |= as_flags(runner=runner, discovery=discovery, ledger=ledger)
    raise typer.Exit(backfill_command(flags, options, spark=_start_spark))


@app.command(epilog="Example: makoto-batch status --tenant acme,globex --from 2025-08-01 --to 2025-08-12 --output out")
def status(
    tenant: Tenant = None,
    first: First = None,
    last: Last = None,
    input: Input = None,  # noqa: A002 - the flag's name
    output: Output = None,
    layout: Layout = None,
    ledger: LedgerOption = None,
    all_tenants: AllTenants = False,
    verify: Annotated[bool, typer.Option("--verify", help="List completed days again: which changed since?")] = False,
    check: Annotated[bool, typer.Option("--check", help="End with 1 if a day needs someone.")] = False,
    json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show which days ran, and which are missing, late, failed or changed since; the last seven by default."""
    from daily_batch.commands.status import StatusOptions, status_command

    options = StatusOptions(
        first=first, last=last, all_tenants=all_tenants, verify=verify, check=check, as_json=json, debug=debug
    )
    flags = as_flags(tenant=tenant, input=input, output=output, layout=layout, ledger=ledger)
    raise typer.Exit(status_command(flags, options))


@app.command(
    epilog="Example: makoto-batch report --all-tenants --from 2025-08-01 --to 2025-08-12 --output out --lang ja"
)
def report(
    tenant: Tenant = None,
    first: First = None,
    last: Last = None,
    input: Input = None,  # noqa: A002 - the flag's name
    output: Output = None,
    ledger: LedgerOption = None,
    all_tenants: AllTenants = False,
    html: Annotated[
        Path | None, typer.Option(help="File of the page. Default: report.html, unless --json or --markdown is given.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="The report as Markdown, on standard output.")] = False,
    lang: Annotated[LangChoice, typer.Option(help="English or Japanese.")] = LangChoice.EN,
    check: Annotated[bool, typer.Option("--check", help="End with 1 if a day needs someone.")] = False,
    json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show a night or a range as one page: states, failures, volumes, rejects, times, cost; the last seven days."""
    from daily_batch.commands.report import ReportOptions, report_command

    options = ReportOptions(
        first=first,
        last=last,
        all_tenants=all_tenants,
        html=html,
        as_json=json,
        as_markdown=markdown,
        lang="ja" if lang is LangChoice.JA else "en",
        check=check,
        debug=debug,
    )
    flags = as_flags(tenant=tenant, input=input, output=output, ledger=ledger)
    raise typer.Exit(report_command(flags, options))


@app.command(
    epilog="Example: makoto-batch replay --tenant acme --date 2025-08-12 --input samples --output out --dry-run"
)
def replay(
    tenant: Tenant = None,
    date: Day = None,
    input: Input = None,  # noqa: A002 - the flag's name
    output: Output = None,
    layout: Layout = None,
    format: Format = None,  # noqa: A002 - the flag's name
    ledger: LedgerOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Try the rejects, and run nothing.")] = False,
    json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Try a day's rejects by the rules of now, and run the day again if some are accepted."""
    from daily_batch.commands.replay import replay_command

    flags = as_flags(tenant=tenant, date=date, input=input, output=output, layout=layout, format=format, ledger=ledger)
    raise typer.Exit(replay_command(flags, spark=_start_spark, dry_run=dry_run, as_json=json, debug=debug))


@app.command(
    epilog="Example: makoto-batch ddl --engine athena --format parquet --tenant acme --output s3://bucket/prefix"
)
def ddl(
    engine: Annotated[EngineChoice, typer.Option(help="Who will read the tables.")],
    tenant: Tenant = None,
    output: Output = None,
    format: Format = None,  # noqa: A002 - the flag's name
    catalog: Annotated[
        str | None, typer.Option(help="Catalog and beginning of the schemas' names. Default: main.chat.")
    ] = None,
    json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Print the statements with which Athena, Synapse or Databricks SQL knows the tables; ask no engine."""
    from daily_batch.commands.ddl import ddl_command

    flags = as_flags(tenant=tenant, output=output, format=format, catalog=catalog)
    raise typer.Exit(ddl_command(flags, engine=engine.value, as_json=json, debug=debug))


@app.command(epilog="Example: makoto-batch optimize --tenant acme --output out --dry-run")
def optimize(
    context: typer.Context,
    tenant: Tenant = None,
    output: Output = None,
    all_tenants: AllTenants = False,
    spare_days: Annotated[
        int, typer.Option(min=1, help="Leave today and so many days before it alone: a run may be at work.")
    ] = 3,
    dry_run: UpkeepDryRun = False,
    json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Rewrite days that lie in many small files to few sorted ones; the rows stay the same. Delta only."""
    from daily_batch.commands.optimize import OptimizeOptions, optimize_command

    options = OptimizeOptions(
        spare_days=spare_days, all_tenants=all_tenants, dry_run=dry_run, as_json=json, debug=debug
    )
    raise typer.Exit(optimize_command(as_flags(tenant=tenant, output=output), options, spark=context.obj))


@app.command(epilog="Example: makoto-batch vacuum --tenant acme --output out --keep-days 730 --dry-run")
def vacuum(
    context: typer.Context,
    tenant: Tenant = None,
    output: Output = None,
    all_tenants: AllTenants = False,
    retain_hours: Annotated[
        int, typer.Option(min=24, help="Keep files that only older versions name, or none, so long.")
    ] = 168,
    keep_days: Annotated[
        int | None,
        typer.Option(min=0, help="Remove days that are older, and their receipts; 0: none. Default: retention_days."),
    ] = None,
    dry_run: UpkeepDryRun = False,
    json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Remove what nobody needs: files of old versions, crashed runs and days beyond the retention, old log entries."""
    from daily_batch.commands.vacuum import VacuumOptions, vacuum_command

    options = VacuumOptions(
        retain_hours=retain_hours,
        keep_days=keep_days,
        all_tenants=all_tenants,
        dry_run=dry_run,
        as_json=json,
        debug=debug,
    )
    raise typer.Exit(vacuum_command(as_flags(tenant=tenant, output=output), options, spark=context.obj))


@app.command(epilog="Example: makoto-batch erase --tenant acme --user user456 --input samples --output out")
def erase(
    context: typer.Context,
    tenant: Tenant = None,
    user: Annotated[str | None, typer.Option(help="The id of the user to erase.")] = None,
    room: Annotated[str | None, typer.Option(help="The id of the room to erase.")] = None,
    input: Input = None,  # noqa: A002 - the flag's name
    output: Output = None,
    ledger: LedgerOption = None,
    mentions: Annotated[
        bool, typer.Option("--mentions", help="Also messages of others that name the id as a word.")
    ] = False,
    confirm: Annotated[
        bool, typer.Option("--confirm/--dry-run", help="Erase. Without it only look, and change nothing.")
    ] = False,
    by: Annotated[str | None, typer.Option(help="Who asked, for the evidence. Default: this machine's user.")] = None,
    json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Erase a user or a room from all tables of a tenant and their old versions, and leave evidence of it."""
    from daily_batch.commands.erase import EraseOptions, erase_command

    options = EraseOptions(user=user, room=room, mentions=mentions, confirm=confirm, by=by, as_json=json, debug=debug)
    flags = as_flags(tenant=tenant, input=input, output=output, ledger=ledger)
    raise typer.Exit(erase_command(flags, options, spark=context.obj))


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


def as_flags(**given: object) -> dict[str, object]:
    """Flags by their settings' names; what was not given is None."""
    names = {"tenant": "tenants", "format": "table_format"}
    values = {name: value.value if isinstance(value, StrEnum) else value for name, value in given.items()}
    return {names.get(name, name): value for name, value in values.items()}


def _start_spark() -> "Runner":
    from daily_batch.runners.spark import start_local

    return start_local()

"""`makoto-batch status`: which days ran, and which are missing, late, failed or changed since, from the ledger."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daily_batch.cli.options import (
    AllTenantsOption,
    CheckOption,
    ConfOption,
    DebugOption,
    EnvOption,
    FromOption,
    InputOption,
    JsonOption,
    LayoutOption,
    LedgerOption,
    OutputOption,
    TenantOption,
    ToOption,
    as_flags,
    choose_days,
    examples,
    read_environment,
)
from daily_batch.cli.output import console, exit_on_error, print_json, print_table

if TYPE_CHECKING:
    from daily_batch.domain.request import Request
    from daily_batch.ledger import Entry, Ledger
    from daily_batch.settings import Settings

COLUMNS = {
    "tenant": "tenant",
    "date": "date",
    "state": "state",
    "messages": "messages",
    "rejected": "rejected",
    "unreadable": "unreadable",
    "runner": "runner",
    "seconds": "seconds",
    "attempts": "attempts",
    "completed": "completed",
    "note": "note",
}

app = typer.Typer()


@app.command(
    rich_help_panel="Watch",
    epilog=examples(
        "makoto-batch status --tenant acme,globex --from 2025-08-10 --to 2025-08-12 --output out",
    ),
)
def status(
    tenant: TenantOption = None,
    first: FromOption = None,
    last: ToOption = None,
    input: InputOption = None,  # noqa: A002 - the flag's name
    output: OutputOption = None,
    layout: LayoutOption = None,
    ledger: LedgerOption = None,
    all_tenants: AllTenantsOption = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="List completed days again to find those that changed.")
    ] = False,
    check: CheckOption = False,
    conf: ConfOption = None,
    env: EnvOption = None,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show which days ran, and which are missing, late, failed or changed since; the last seven by default."""
    from daily_batch.cli.tenants import check_known, choose_tenants
    from daily_batch.ledger.factory import open_ledger
    from daily_batch.orchestration.day_status import SOUND
    from daily_batch.orchestration.requests import build_requests
    from daily_batch.settings import load_settings

    flags = as_flags(tenant=tenant, input=input, output=output, layout=layout, ledger=ledger)
    with exit_on_error(debug=debug, json_output=json):
        now = datetime.now(UTC)
        settings = choose_tenants(
            load_settings(flags=flags, environ=read_environment(conf, env)), all_tenants=all_tenants
        )
        # Only the ledger is read, unless --verify lists days again; without it the command needs no input.
        source = settings.input or ("" if verify else settings.output)
        requests = build_requests(replace(settings, input=source), now)
        store = open_ledger(settings, requests[0].output)
        if not all_tenants:
            check_known(settings.tenants, settings, requests[0].output, by_days=True)
        days = choose_days(first, last, settings, now)
        rows = [
            row for request in requests for row in _list_rows(request, days, settings, store, now=now, verify=verify)
        ]
        strays = [each for request in requests if (each := store.stray_count(request.tenant)) and each.objects]
        if json:
            value = {"now": now.isoformat(timespec="seconds"), "days": rows, "months": _sum_months(rows)}
            print_json({**value, "strays": [asdict(each) for each in strays]})
        else:
            print_table(COLUMNS, [_as_shown(row) for row in rows], wrapped="note")
            for each in strays:
                console().print(f"{each.tenant}: {each.sentence}", markup=False)
        raise typer.Exit(1 if check and any(row["state"] not in SOUND for row in rows) else 0)


def _list_rows(
    request: "Request", days: Sequence[date], settings: "Settings", ledger: "Ledger", *, now: datetime, verify: bool
) -> Iterator[dict[str, object]]:
    """Yield a row for each day of a tenant; with `verify`, completed days are listed again."""
    from daily_batch.orchestration.day_status import CHANGED, day_status, due_time
    from daily_batch.pipeline.discover.discover import fingerprint_day

    entries = {entry.day: entry for entry in ledger.days(request.tenant, days[0], days[-1])}
    for day in days:
        entry, due = entries.get(day), due_time(day, settings)
        state = day_status(entry, now=now, due=due)
        if verify and entry is not None and entry.is_complete:
            objects = fingerprint_day(
                replace(request, day=day), settings, progress=_ignore_progress, metadata=ledger.store
            )
            state = state if objects == entry.fingerprint else CHANGED
        yield _as_row(request.tenant, day, entry, state, now=now, late=now >= due)


def _sum_months(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what the days that have ended were billed, by tenant and month."""
    from daily_batch.orchestration.day_status import CHANGED, ENDED
    from daily_batch.orchestration.routing.costs import sum_by_month

    ended = (row for row in rows if row["state"] in (*ENDED, CHANGED))
    days = ((row["tenant"], date.fromisoformat(row["date"]), row["cost_usd"]) for row in ended)
    return [asdict(month) for month in sum_by_month(days)]


def _as_row(
    tenant: str, day: date, entry: "Entry | None", state: str, *, now: datetime, late: bool
) -> dict[str, object]:
    from daily_batch.orchestration.day_status import describe

    late = late and not (entry and entry.is_complete)
    note = describe(entry, state, now=now)
    note = f"late; {note}" if late else note
    return {
        "tenant": tenant,
        "date": day.isoformat(),
        "state": state,
        "messages": entry and entry.message_count,
        "rejected": entry and entry.rejected,
        "unreadable": entry and entry.unreadable,
        "quality": entry and entry.quality,
        "new_fields": entry and entry.new_fields,
        "runner": entry and entry.runner,
        "seconds": entry and entry.seconds,
        "cost_usd": entry and entry.cost_usd,
        "attempts": entry and entry.attempts,
        "processed_at": entry and entry.processed_at,
        "run_id": entry and entry.run_id,
        "receipt": entry and entry.receipt,
        "late": late,
        "note": note,
    }


def _as_shown(row: Mapping[str, object]) -> Mapping[str, object]:
    from daily_batch.orchestration.day_status import state_label

    return {**row, "state": state_label(str(row["state"])), "completed": _to_minute(row)}


def _to_minute(row: Mapping[str, object]) -> str | None:
    """Return when the day was completed, to the minute, in UTC as in the ledger."""
    moment = row["processed_at"]
    return f"{str(moment)[:10]} {str(moment)[11:16]}Z" if moment else None


def _ignore_progress(stage: str, done: int, total: int, unit: str) -> None:
    """Show nothing: a listing takes a moment."""

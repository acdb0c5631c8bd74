"""`makoto-batch plan`: what a day holds, which runner takes it and why, and whether it changed; nothing is written."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from daily_batch.cli.console import show_progress
from daily_batch.cli.output import guarded, print_json
from daily_batch.cli.tenants import choose_tenants
from daily_batch.domain.request import Request
from daily_batch.errors import error_context
from daily_batch.ledger import Entry, Ledger
from daily_batch.ledger.factory import open_ledger
from daily_batch.orchestration.bootstrap import decide_runner, find_resources, price_hosts
from daily_batch.orchestration.requests import build_requests
from daily_batch.orchestration.routing import Decision
from daily_batch.pipeline.discover.compare import DiscoveryComparison
from daily_batch.pipeline.discover.discover import count_strays, discover, verify_discovery
from daily_batch.pipeline.discover.manifest import Manifest
from daily_batch.pipeline.runners.base import Progress
from daily_batch.settings import Settings, load_settings
from daily_batch.storage.scratch import temporary_folder

SHOWN_ROOMS = 20


def plan_command(
    flags: Mapping[str, object],
    *,
    compare: bool = False,
    cost: bool = False,
    strays: bool = False,
    as_json: bool = False,
    debug: bool = False,
) -> int:
    """Print the plan of each tenant's day and return the exit status.

    Args:
        compare: list the day both ways, and name the rooms that the metadata store does not know.
        strays: list all of the tenant, count what lies where no run looks, and note the number in the ledger.
        cost: also what the day takes and costs in each place where it can run.
    """

    def plan() -> int:
        settings = choose_tenants(load_settings(flags=flags, environ=os.environ))
        requests = build_requests(settings, datetime.now(UTC))
        ledger = open_ledger(settings, requests[0].output)
        plans = []
        with show_progress() as open_progress:
            for request in requests:
                progress = open_progress(f"tenant={request.tenant} day={request.day}")
                with error_context(request.tenant, request.day.isoformat()):
                    told = _plan_day(request, settings, ledger, progress, compare=compare, cost=cost)
                    if strays:
                        told["strays"] = _count_strays(request, settings, ledger, progress)
                    plans.append(told)
        if as_json:
            print_json(plans[0] if len(plans) == 1 else plans)
        else:
            for told in plans:
                _show(told)
        return 0

    return guarded(plan, debug=debug)


def _plan_day(
    request: Request, settings: Settings, ledger: Ledger, progress: Progress, *, compare: bool, cost: bool
) -> dict[str, object]:
    with temporary_folder() as staging:
        manifest = discover(
            request,
            settings,
            staging=staging,
            progress=progress,
            metadata=ledger.store,
            list_known_tenants=ledger.tenants,
        )
    entry = ledger.find(request.tenant, request.day)
    told = {
        "tenant": request.tenant,
        "date": request.day.isoformat(),
        "layout": manifest.layout,
        "objects": manifest.objects,
        "bytes": manifest.bytes,
        "fingerprint": manifest.fingerprint,
        "ledger": _compare_with_ledger(manifest, entry),
        **_as_plan(decide_runner(manifest, settings, find_resources(settings))),
    }
    if cost:
        told["cost"] = [asdict(place) for place in price_hosts(manifest)]
    if compare:
        told["discovery"] = _as_discovery(verify_discovery(request, settings, ledger.store))
    return told


def _count_strays(request: Request, settings: Settings, ledger: Ledger, progress: Progress) -> dict[str, object]:
    found = count_strays(request, settings, progress=progress)
    ledger.record_strays(request.tenant, found.objects)
    return asdict(found)


def _compare_with_ledger(manifest: Manifest, entry: Entry | None) -> str:
    if entry is None:
        return "never run"
    if not entry.is_complete:
        return f"{entry.status}, run {entry.run_id}"
    same = entry.fingerprint == manifest.fingerprint
    return f"{'unchanged' if same else 'changed'} since run {entry.run_id} of {entry.processed_at}"


def _as_plan(decision: Decision) -> dict[str, object]:
    return {
        "runner": decision.runner,
        "reasons": list(decision.reasons),
        "predicted": {"local": asdict(decision.local), "spark": asdict(decision.spark)},
    }


def _as_discovery(found: DiscoveryComparison) -> dict[str, object]:
    return {
        "listing": {"rooms": found.listed_rooms, "objects": found.listed_objects},
        "metadata": {"rooms": found.metadata_rooms, "objects": found.metadata_objects},
        "missed": [room._asdict() for room in found.missed],
    }


def _show(told: Mapping[str, Any]) -> None:
    """The plan for a person."""
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"[bold]{told['tenant']} {told['date']}[/bold]  {told['ledger']}")
    console.print(f"{told['layout']}: {told['objects']:,} objects, {told['bytes']:,} bytes")
    console.print(f"[bold]{told['runner']} runner[/bold]: {'; '.join(told['reasons'])}")
    for runner, predicted in told["predicted"].items():
        memory = predicted["memory_bytes"] / 2**20
        cost = predicted["cost_usd"]
        console.print(f"  {runner:5}  {predicted['seconds']:8,.0f} s  {memory:8,.0f} MiB  {cost:10.6f} USD")
    if "cost" in told:
        _show_cost(console, told["cost"])
    if "strays" in told:
        _show_strays(console, told["strays"])
    if found := told.get("discovery"):
        for way in ("listing", "metadata"):
            console.print(f"by {way}: {found[way]['rooms']:,} rooms, {found[way]['objects']:,} objects of the day")
        for missed in found["missed"][:SHOWN_ROOMS]:
            console.print(f"  missed by metadata: {missed['room']} ({missed['objects']:,} objects)", markup=False)
        if len(found["missed"]) > SHOWN_ROOMS:
            console.print(f"  and {len(found['missed']) - SHOWN_ROOMS:,} more rooms; --json names all")


def _show_strays(console: Console, found: Mapping[str, Any]) -> None:
    """Where the tenant's objects lie that no run of any day reads."""
    console.print(f"strays: {found['objects']:,} of the tenant's {found['listed']:,} objects lie where no run looks")
    for each in found["folders"][:SHOWN_ROOMS]:
        console.print(f"  {each['folder']}: {each['objects']:,}, {each['why']}; {each['example']!a}", markup=False)
    if len(found["folders"]) > SHOWN_ROOMS:
        console.print(f"  and {len(found['folders']) - SHOWN_ROOMS:,} more folders; --json names all")
    if found["objects"]:
        console.print("  Next step: move them to the folder of their day, then run that day (docs/rules.md).")


def _show_cost(console: Console, places: Sequence[Mapping[str, Any]]) -> None:
    """What the day takes and costs in each place; a month is 30 such days."""
    console.print("USD a day, in 30 such days, and of these beyond the free tier:")
    for place in places:
        sizes = f"{place['seconds']:8,.0f} s  {place['memory_bytes'] / 2**20:8,.0f} MiB"
        prices = "".join(_write_usd(place[name]) for name in ("usd_day", "usd_month", "usd_month_after_free"))
        reasons = [f"cannot run there: it {each}" for each in place["obstacles"]]
        console.print(f"  {place['host']:15}  {sizes}{prices}  {'; '.join((*reasons, *place['notes']))}", markup=False)
    console.print("By list price (docs/costs.md), without storage, logs and the ledger.")


def _write_usd(amount: float | None) -> str:
    return f"{'-':>12}" if amount is None else f"{amount:12,.4f}"

"""The plan of a tenant-day: what it holds, which runner takes it and why, and whether it changed. Writes no table."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from daily_batch.domain.request import Request
from daily_batch.ledger import Entry, Ledger
from daily_batch.orchestration.bootstrap import decide_runner, find_resources, price_hosts
from daily_batch.orchestration.routing import Decision
from daily_batch.pipeline.discover.compare import DiscoveryComparison
from daily_batch.pipeline.discover.discover import count_strays, discover, verify_discovery
from daily_batch.pipeline.discover.manifest import Manifest
from daily_batch.pipeline.runners.base import Progress
from daily_batch.settings import Settings
from daily_batch.storage.scratch import temporary_folder

DayPlan = Mapping[str, Any]


def plan_day(
    request: Request,
    settings: Settings,
    ledger: Ledger,
    progress: Progress,
    *,
    verify: bool = False,
    cost: bool = False,
    strays: bool = False,
) -> DayPlan:
    """List the day and decide as a run would; return the plan as JSON values.

    Args:
        verify: list the day both ways, and name the rooms that the metadata store does not know.
        cost: also what the day takes and costs in each place where it can run.
        strays: also list all of the tenant, count the objects that no run reads, and note the number in the ledger.
    """
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
    plan: dict[str, Any] = {
        "tenant": request.tenant,
        "date": request.day.isoformat(),
        "layout": manifest.layout,
        "objects": manifest.objects,
        "bytes": manifest.bytes,
        "fingerprint": manifest.fingerprint,
        "ledger": _compare_with_ledger(manifest, entry),
        **_describe_decision(decide_runner(manifest, settings, find_resources(settings))),
    }
    if cost:
        plan["cost"] = [asdict(host) for host in price_hosts(manifest)]
    if verify:
        plan["discovery"] = _describe_discovery(verify_discovery(request, settings, ledger.store))
    if strays:
        found = count_strays(request, settings, progress=progress)
        ledger.record_strays(request.tenant, found.objects)
        plan["strays"] = asdict(found)
    return plan


def _compare_with_ledger(manifest: Manifest, entry: Entry | None) -> str:
    if entry is None:
        return "never run"
    if not entry.is_complete:
        return f"{entry.status}, run {entry.run_id}"
    same = entry.fingerprint == manifest.fingerprint
    return f"{'unchanged' if same else 'changed'} since run {entry.run_id} of {entry.processed_at}"


def _describe_decision(decision: Decision) -> dict[str, object]:
    return {
        "runner": decision.runner,
        "reasons": list(decision.reasons),
        "predicted": {"local": asdict(decision.local), "spark": asdict(decision.spark)},
    }


def _describe_discovery(comparison: DiscoveryComparison) -> dict[str, object]:
    return {
        "listing": {"rooms": comparison.listed_rooms, "objects": comparison.listed_objects},
        "metadata": {"rooms": comparison.metadata_rooms, "objects": comparison.metadata_objects},
        "missed": [room._asdict() for room in comparison.missed],
    }

"""The plan of a tenant-day: what it holds, which runner takes it and why, and whether it changed. Writes no table."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from daily_batch.domain.request import Request
from daily_batch.domain.run import Layout
from daily_batch.errors import TerminalError
from daily_batch.ledger import Entry, Ledger
from daily_batch.orchestration.bootstrap import decide_runner, find_resources, predict_job, price_hosts
from daily_batch.orchestration.day_run import tables_of
from daily_batch.orchestration.routing import Prediction
from daily_batch.orchestration.routing.ceiling import JobCost, find_refusal
from daily_batch.orchestration.routing.costs import HostCost
from daily_batch.pipeline.discover.compare import DiscoveryComparison
from daily_batch.pipeline.discover.discover import count_strays, discover, verify_discovery
from daily_batch.pipeline.discover.manifest import Manifest
from daily_batch.pipeline.discover.strays import Strays
from daily_batch.pipeline.runners.base import Progress
from daily_batch.settings import Settings
from daily_batch.storage.scratch import temporary_folder


@dataclass(frozen=True, kw_only=True)
class DayPlan:
    """What a run of a tenant-day would do, with the fields of `makoto-batch plan --json`.

    Attributes:
        bytes: The objects' stored size.
        ledger: What the ledger records of the day, as a sentence.
        changed: Whether a run has work to do; False if the day was completed with exactly these objects.
        reasons: Why this runner takes the day.
        predicted: What the day takes on each runner.
        job: What the day's job costs, and whether `max_usd` allows it. Absent if no service bills a job.
        cost: What it takes and costs on each host. Absent from the JSON unless requested, as are the next two.
        discovery: The day's rooms by listing and by metadata.
        strays: The tenant's objects that no run of any day reads.
    """

    tenant: str
    date: str
    layout: Layout
    objects: int
    bytes: int
    fingerprint: str
    ledger: str
    changed: bool
    runner: Literal["local", "spark"]
    reasons: tuple[str, ...]
    predicted: Mapping[str, Prediction]
    job: JobCost | None = None
    cost: tuple[HostCost, ...] | None = None
    discovery: DiscoveryComparison | None = None
    strays: Strays | None = None


def plan_request(
    request: Request,
    settings: Settings,
    ledger: Ledger,
    progress: Progress,
    *,
    verify: bool = False,
    cost: bool = False,
    strays: bool = False,
) -> DayPlan:
    """List the day and decide as a run would.

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
    decision = decide_runner(manifest, settings, find_resources(settings))
    found = count_strays(request, settings, progress=progress) if strays else None
    if found is not None:
        ledger.record_strays(request.tenant, found.objects)
    return DayPlan(
        tenant=request.tenant,
        date=request.day.isoformat(),
        layout=manifest.layout,
        objects=manifest.objects,
        bytes=manifest.bytes,
        fingerprint=manifest.fingerprint,
        ledger=_compare_with_ledger(manifest, entry),
        changed=not _is_published(request, manifest, entry),
        runner=decision.runner,
        reasons=decision.reasons,
        predicted={"local": decision.local, "spark": decision.spark},
        job=predict_job(manifest, settings) if decision.runner == "spark" else None,
        cost=price_hosts(manifest, settings) if cost else None,
        discovery=verify_discovery(request, settings, ledger.store) if verify else None,
        strays=found,
    )


def refusal_of(plan: DayPlan) -> TerminalError | None:
    """Return the error with which a run would refuse the day's job; None if it would submit it."""
    refusal = find_refusal(plan.job)
    if refusal:
        refusal.add_context(plan.tenant, plan.date)
    return refusal


def to_dict(plan: DayPlan) -> dict[str, Any]:
    """Return the plan as plain values, without what was not requested."""
    values = asdict(plan)
    if plan.discovery:
        values["discovery"] = _describe_discovery(plan.discovery)
    return {name: value for name, value in values.items() if value is not None}


def _compare_with_ledger(manifest: Manifest, entry: Entry | None) -> str:
    if entry is None:
        return "never run"
    if not entry.is_complete:
        return f"{entry.status}, run {entry.run_id}"
    same = entry.fingerprint == manifest.fingerprint
    return f"{'unchanged' if same else 'changed'} since run {entry.run_id} of {entry.processed_at}"


def _is_published(request: Request, manifest: Manifest, entry: Entry | None) -> bool:
    """Return whether the output holds the tables of exactly these objects, so that `if_changed` skips the day."""
    if entry is None or not entry.is_complete:
        return False
    return entry.fingerprint == manifest.fingerprint and entry.output_path == tables_of(request)


def _describe_discovery(comparison: DiscoveryComparison) -> dict[str, object]:
    return {
        "listing": {"rooms": comparison.listed_rooms, "objects": comparison.listed_objects},
        "metadata": {"rooms": comparison.metadata_rooms, "objects": comparison.metadata_objects},
        "missed": [room._asdict() for room in comparison.missed],
    }

"""`makoto-batch plan`: what a day holds, which runner takes it and why, and whether it changed; writes no table."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from daily_batch.cli.options import (
    ConfOption,
    DateOption,
    DebugOption,
    DiscoveryOption,
    EnvOption,
    InputOption,
    JsonOption,
    LayoutOption,
    LedgerOption,
    OutputOption,
    RunnerOption,
    TenantOption,
    as_flags,
    examples,
    read_environment,
)
from daily_batch.cli.output import exit_on_error, print_json, report_failure

if TYPE_CHECKING:
    from rich.console import Console

    from daily_batch.orchestration.plan_day import DayPlan
    from daily_batch.orchestration.routing.costs import HostCost
    from daily_batch.pipeline.discover.compare import DiscoveryComparison
    from daily_batch.pipeline.discover.strays import Strays

SHOWN_ROOMS = 20

app = typer.Typer()


@app.command(
    rich_help_panel="Prepare",
    epilog=examples(
        "makoto-batch plan --tenant acme --date 2025-08-12 --input samples --output out",
        "makoto-batch plan --tenant acme --date 2025-08-12 --input samples --output out --cost --strays",
    ),
)
def plan(
    tenant: TenantOption = None,
    date: DateOption = None,
    input: InputOption = None,  # noqa: A002 - the flag's name
    output: OutputOption = None,
    runner: RunnerOption = None,
    layout: LayoutOption = None,
    discovery: DiscoveryOption = None,
    ledger: LedgerOption = None,
    verify_discovery: Annotated[
        bool, typer.Option("--verify-discovery", help="List the rooms that the metadata store does not know.")
    ] = False,
    cost: Annotated[bool, typer.Option("--cost", help="Show time, memory and cost of the day in each cloud.")] = False,
    strays: Annotated[
        bool,
        typer.Option("--strays", help="Count the tenant's objects that no run reads; status shows the number."),
    ] = False,
    conf: ConfOption = None,
    env: EnvOption = None,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show what a day holds, which runner would take it, why, and at what cost; write no table."""
    from daily_batch.cli.progress import show_progress
    from daily_batch.cli.tenants import choose_tenants
    from daily_batch.errors import error_context
    from daily_batch.ledger.factory import open_ledger
    from daily_batch.orchestration.plan_day import plan_request, refusal_of, to_dict
    from daily_batch.orchestration.requests import build_requests
    from daily_batch.settings import load_settings

    flags = as_flags(tenant=tenant, date=date, input=input, output=output, layout=layout)
    flags |= as_flags(runner=runner, discovery=discovery, ledger=ledger)
    with exit_on_error(debug=debug, json_output=json):
        settings = choose_tenants(load_settings(flags=flags, environ=read_environment(conf, env)))
        requests = build_requests(settings, datetime.now(UTC))
        store = open_ledger(settings, requests[0].output)
        plans: list[DayPlan] = []
        with show_progress() as open_progress:
            for request in requests:
                progress = open_progress(f"tenant={request.tenant} day={request.day}")
                with error_context(request.tenant, request.day.isoformat()):
                    plans.append(
                        plan_request(
                            request, settings, store, progress, verify=verify_discovery, cost=cost, strays=strays
                        )
                    )
        if json:
            print_json({"days": [to_dict(each) for each in plans]})
        else:
            for each in plans:
                _print_plan(each)
        refusals = [refusal for each in plans if (refusal := refusal_of(each))]
        statuses = [report_failure(refusal, debug=debug, json_output=json) for refusal in refusals]
        raise typer.Exit(max(statuses, default=0))


def _print_plan(plan: "DayPlan") -> None:
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False)
    console.print(f"[bold]{plan.tenant} {plan.date}[/bold]  {plan.ledger}")
    console.print(f"{plan.layout}: {plan.objects:,} objects, {plan.bytes:,} bytes")
    console.print(f"[bold]{plan.runner} runner[/bold]: {'; '.join(plan.reasons)}")
    for runner, predicted in plan.predicted.items():
        memory = predicted.memory_bytes / 2**20
        cost = predicted.cost_usd
        console.print(f"  {runner:5}  {predicted.seconds:8,.0f} s  {memory:8,.0f} MiB  {cost:10.6f} USD")
    if plan.job:
        known = "unknown" if plan.job.usd is None else f"{plan.job.usd:,.6f} USD"
        ceiling = f", max_usd {plan.job.max_usd:,.12g}" if plan.job.max_usd else ""
        console.print(f"job on {plan.job.service}: {known}{ceiling}")
    if plan.cost:
        _print_cost(console, plan.cost)
    if plan.strays:
        _print_strays(console, plan.strays)
    if plan.discovery:
        _print_discovery(console, plan.discovery)


def _print_discovery(console: "Console", discovery: "DiscoveryComparison") -> None:
    for mode, rooms, objects in (
        ("listing", discovery.listed_rooms, discovery.listed_objects),
        ("metadata", discovery.metadata_rooms, discovery.metadata_objects),
    ):
        console.print(f"by {mode}: {rooms:,} rooms, {objects:,} objects of the day")
    missed = discovery.missed
    for room in missed[:SHOWN_ROOMS]:
        console.print(f"  missed by metadata: {room.room} ({room.objects:,} objects)", markup=False)
    if len(missed) > SHOWN_ROOMS:
        console.print(f"  and {len(missed) - SHOWN_ROOMS:,} more rooms; --json names all")


def _print_strays(console: "Console", strays: "Strays") -> None:
    """Print where the tenant's objects are that no run of any day reads."""
    console.print(f"{strays.objects:,} of the tenant's {strays.listed:,} objects are strays: no run reads them")
    for folder in strays.folders[:SHOWN_ROOMS]:
        console.print(f"  {folder.folder}: {folder.objects:,}, {folder.why}; {folder.example!a}", markup=False)
    if len(strays.folders) > SHOWN_ROOMS:
        console.print(f"  and {len(strays.folders) - SHOWN_ROOMS:,} more folders; --json names all")
    if strays.objects:
        console.print("  Next step: move them to the folder of their day, then run that day (docs/rules.md).")


def _print_cost(console: "Console", hosts: "Sequence[HostCost]") -> None:
    """Print what the day takes and costs in each place; a month is 30 such days."""
    console.print("USD a day, in 30 such days, and of these beyond the free tier:")
    for host in hosts:
        sizes = f"{host.seconds:8,.0f} s  {host.memory_bytes / 2**20:8,.0f} MiB"
        prices = "".join(map(_format_usd, (host.usd_day, host.usd_month, host.usd_month_after_free)))
        reasons = [f"cannot run there: it {obstacle}" for obstacle in host.obstacles]
        line = f"  {host.host:15}  {sizes}{prices}  {'; '.join((*reasons, *host.notes))}"
        console.print(line.rstrip(), markup=False)
    console.print("By list price (docs/costs.md), without storage, logs and the ledger.")


def _format_usd(amount: float | None) -> str:
    return f"{'-':>12}" if amount is None else f"{amount:12,.4f}"

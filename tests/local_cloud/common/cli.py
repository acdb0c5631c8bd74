"""What a person sees of a night on this machine, whichever cloud plays it."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from daily_batch.synthetic import Truth
from tests.local_cloud.common.night import NightFailed, NightReport
from tests.local_cloud.common.sample_tenants import SAMPLES

# So that the large tenant of the samples goes to Spark, as one of more than 100,000 messages does.
LARGE_MESSAGES = "2000"
ZONE = "Asia/Tokyo"

Keep = Annotated[bool, typer.Option(help="Leave the servers up until Ctrl-C, and say how to reach them.")]
Folder = Annotated[Path, typer.Option(help="For the calls, logs and jobs of this night; emptied first.")]
Say = Callable[[str], None]


def make_app() -> typer.Typer:
    """A command line with a night's behaviour."""
    return typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def open_speaker() -> Say:
    """Prints lines, each with the seconds since now."""
    began = time.monotonic()
    return lambda line: print(f"{time.monotonic() - began:6.1f} s  {line}", flush=True)


@contextmanager
def exit_statuses(folder: Path) -> Iterator[None]:
    """How a night that fails, or is stopped, ends the process."""
    try:
        yield
    except NightFailed as error:
        print(f"{error}\nthe functions' and jobs' logs are in {folder}", file=sys.stderr)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def tell_volumes(truths: Mapping[str, Truth]) -> str:
    """How much each tenant has written."""
    told = {tenant: f"{truth.records['seen']:,} records" for tenant, truth in truths.items()}
    return ", ".join(f"{tenant} {told.get(tenant, 'nothing')}" for tenant in SAMPLES)


def show_night(report: NightReport, *, root: str) -> None:
    """The watcher's summary, and where the tables are."""
    summary = report.summary
    states = "; ".join(f"{count} {state}" for state, count in sorted(summary["states"].items()))
    print(f"\nthe night of {summary['date']}: {summary['tenants']} tenants: {states}. Late: {summary['late']}")
    if summary["unreadable"]:
        print(f"  objects that could not be read: {summary['unreadable']}")
    for each in summary["attention"]:
        print(f"  look at {each['tenant']}: {each['state']}: {each['note']}")
    print("\ntables (messages, rejects, rooms_daily, users_daily, summary_daily) of each tenant:")
    for tenant in SAMPLES:
        print(f"  {root}/{tenant}/analytics/")


def keep_up(variables: Mapping[str, str], *, day: date, more: tuple[str, ...] = ()) -> None:
    """Say how to reach the servers, and wait."""
    print("\nIn another terminal, in this folder:\n")
    for name, value in variables.items():
        print(f"  export {name}='{value}'")
    print(f"  .venv/bin/makoto-batch status --tenant {','.join(SAMPLES)} --from {day} --to {day}")
    for line in more:
        print(f"  {line}")
    print("\nThe servers are up until Ctrl-C, and forget everything then.", flush=True)
    while True:
        time.sleep(3600)

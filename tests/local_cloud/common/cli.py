"""The command line of `make local-aws` and `make local-azure`: options, output and exit statuses."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from daily_batch.synthetic import ExpectedCounts
from tests.local_cloud.common.night import NightFailedError, NightReport
from tests.local_cloud.common.sample_tenants import SAMPLES

# Low enough that the large sample tenant goes to Spark, as a tenant of more than 100,000 messages does.
LARGE_MESSAGES = "2000"
ZONE = "Asia/Tokyo"

Keep = Annotated[bool, typer.Option(help="Leave the servers up until Ctrl-C, and print how to reach them.")]
Folder = Annotated[Path, typer.Option(help="Folder for the calls, logs and jobs of this night; it is emptied first.")]
PrintLine = Callable[[str], None]


def make_app() -> typer.Typer:
    """Create the command-line application."""
    return typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def timed_printer() -> PrintLine:
    """Return a function that prints lines, each with the seconds since this call."""
    began = time.monotonic()
    return lambda line: print(f"{time.monotonic() - began:6.1f} s  {line}", flush=True)


@contextmanager
def exit_statuses(folder: Path) -> Iterator[None]:
    """Exit with 1 when the night fails and with 130 when it is interrupted."""
    try:
        yield
    except NightFailedError as error:
        print(f"{error}\nthe functions' and jobs' logs are in {folder}", file=sys.stderr)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def describe_volumes(truths: Mapping[str, ExpectedCounts]) -> str:
    """Describe how many records each tenant has written."""
    volumes = {tenant: f"{truth.records['seen']:,} records" for tenant, truth in truths.items()}
    return ", ".join(f"{tenant} {volumes.get(tenant, 'nothing')}" for tenant in SAMPLES)


def print_summary(report: NightReport, *, root: str) -> None:
    """Print the watcher's summary and the locations of the tables."""
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


def serve_until_interrupted(variables: Mapping[str, str], *, day: date, more: tuple[str, ...] = ()) -> None:
    """Print how to reach the servers, and wait for Ctrl-C."""
    print("\nIn another terminal, in this folder:\n")
    for name, value in variables.items():
        print(f"  export {name}='{value}'")
    print(f"  .venv/bin/makoto-batch status --tenant {','.join(SAMPLES)} --from {day} --to {day}")
    for line in more:
        print(f"  {line}")
    print("\nThe servers are up until Ctrl-C, and forget everything then.", flush=True)
    while True:
        time.sleep(3600)

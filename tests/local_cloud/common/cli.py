"""The command line of `make local-aws` and `make local-azure`, which run one night on a local cloud."""

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from daily_batch.domain.calendar import business_day
from daily_batch.orchestration.day_status import state_label
from daily_batch.synthetic import ExpectedCounts
from tests.local_cloud.common.night import Night, NightCloud, NightFailedError, NightReport
from tests.local_cloud.common.sample_tenants import SAMPLES

# Low enough that the large sample tenant goes to Spark, as a tenant of more than 100,000 messages does.
LARGE_MESSAGES = "2000"
ZONE = "Asia/Tokyo"

Keep = Annotated[bool, typer.Option(help="Leave the servers up until Ctrl-C, and print how to reach them.")]
Folder = Annotated[Path, typer.Option(help="Folder for the calls, logs and jobs of this night; it is emptied first.")]
PrintLine = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class NightDeployment:
    """A deployment on a local cloud, ready for its first night.

    Attributes:
        upload_samples: writes the sample tenants' objects of a day below a folder and uploads them.
        describe_calls: describes the calls that were made, and where the logs are.
        root: the URL of the tables.
        variables: the environment variables by which other processes reach the cloud.
        commands: further commands to show beside them.
    """

    cloud: NightCloud
    upload_samples: Callable[[date, Path], Mapping[str, ExpectedCounts]]
    describe_calls: Callable[[], str]
    root: str
    variables: Mapping[str, str] = field(repr=False)
    commands: tuple[str, ...] = ()


Deploy = Callable[[Path, PrintLine], AbstractContextManager[NightDeployment]]


def make_app(deploy: Deploy, *, description: str | None, default_folder: Path) -> typer.Typer:
    """Create the command-line application of a local cloud.

    Args:
        deploy: starts the cloud with its files below a folder, and prints its progress.
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

    @app.command(help=description)
    def main(keep: Keep = False, folder: Folder = default_folder) -> None:
        print_line = _timed_printer()
        shutil.rmtree(folder, ignore_errors=True)
        with _exit_statuses(folder), deploy(folder, print_line) as deployment:
            day = _run_night(deployment, folder, print_line)
            if keep:
                _serve_until_interrupted(deployment, day)

    return app


def _run_night(deployment: NightDeployment, folder: Path, print_line: PrintLine) -> date:
    """Run the night that processes yesterday, print its result and return the day."""
    day = business_day(datetime.now(UTC), offset=-1, zone=ZONE)
    expected = deployment.upload_samples(day, folder / "input")
    print_line(f"{len(SAMPLES)} tenants have written on {day}: {_describe_volumes(expected)}")
    report = Night(cloud=deployment.cloud, day=day, tenants=list(SAMPLES), on_progress=print_line).run()
    _print_summary(report, root=deployment.root)
    print(f"\n{deployment.describe_calls()}")
    return day


def _timed_printer() -> PrintLine:
    """Return a function that prints lines, each with the seconds since this call."""
    started = time.monotonic()
    return lambda line: print(f"{time.monotonic() - started:6.1f} s  {line}", flush=True)


@contextmanager
def _exit_statuses(folder: Path) -> Iterator[None]:
    """Exit with 1 when the night fails and with 130 when it is interrupted."""
    try:
        yield
    except NightFailedError as error:
        print(f"{error}\nthe functions' and jobs' logs are in {folder}", file=sys.stderr)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _describe_volumes(expected: Mapping[str, ExpectedCounts]) -> str:
    """Describe how many records each tenant has written."""
    volumes = {tenant: f"{counts.records['seen']:,} records" for tenant, counts in expected.items()}
    return ", ".join(f"{tenant} {volumes.get(tenant, 'nothing')}" for tenant in SAMPLES)


def _print_summary(report: NightReport, *, root: str) -> None:
    """Print the watcher's summary and the locations of the tables."""
    summary = report.summary
    states = "; ".join(f"{count} {state_label(state)}" for state, count in sorted(summary["states"].items()))
    print(f"\nthe night of {summary['date']}: {summary['tenants']} tenants: {states}. Late: {summary['late']}")
    if summary["unreadable"]:
        print(f"  objects that could not be read: {summary['unreadable']}")
    for each in summary["attention"]:
        print(f"  {each['tenant']} needs attention: {state_label(each['state'])}: {each['note']}")
    print("\ntables (messages, rejects, turns, rooms_daily, users_daily, summary_daily) of each tenant:")
    for tenant in SAMPLES:
        print(f"  {root}/{tenant}/analytics/")


def _serve_until_interrupted(deployment: NightDeployment, day: date) -> None:
    """Print how to reach the servers, and wait for Ctrl-C."""
    print("\nIn another terminal, in this folder:\n")
    for name, value in deployment.variables.items():
        print(f"  export {name}='{value}'")
    print(f"  .venv/bin/makoto-batch status --tenant {','.join(SAMPLES)} --from {day} --to {day}")
    for command in deployment.commands:
        print(f"  {command}")
    print("\nThe servers are up until Ctrl-C, and lose all data then.", flush=True)
    while True:
        time.sleep(3600)

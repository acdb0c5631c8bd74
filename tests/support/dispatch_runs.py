"""Run a tenant-day through a dispatch, with faults of the ledger and of the local runner."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daily_batch.domain.request import Request
from daily_batch.domain.url import parse_url
from daily_batch.errors import HandOverError, RetryableError
from daily_batch.ledger import Entry, Ledger
from daily_batch.metadata import Item, MetadataStore
from daily_batch.metadata.sqlite import SqliteStore
from daily_batch.orchestration.day_run import DayResult
from daily_batch.orchestration.dispatch import Dispatch
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.settings import load_settings
from tests.support.day_runs import DAY, NO_LIMITS, silent
from tests.support.job_service import Clock


@dataclass
class FailingStore:
    """A metadata store whose `put` fails for the items of `fails`, before it writes or after it has written."""

    store: MetadataStore
    fails: Callable[[Item], bool]
    after_write: bool = False

    def get(self, pk: str, sk: str) -> Any:
        return self.store.get(pk, sk)

    def query(self, pk: str, *, first: str, last: str) -> Any:
        return self.store.query(pk, first=first, last=last)

    def put(self, item: Item, *, expected: str | None) -> str:
        failing = self.fails(item)
        if failing and not self.after_write:
            raise RetryableError("the ledger is down", next_step="run the day again")
        version = self.store.put(item, expected=expected)
        if failing:
            raise RetryableError("the response is lost", next_step="run the day again")
        return version


@dataclass
class TimedOutRunner:
    """A local runner that hands over for lack of time."""

    name: str = "local"

    def run(self, *_: Any, **__: Any) -> Any:
        raise HandOverError("0 of 1 chunks in 600 s", next_step="run the day on Spark")


def no_spark() -> Any:
    raise AssertionError("Spark was started")


def make_dispatch(tmp_path: Path, clock: Clock, *, store: MetadataStore | None = None, **parts: Any) -> Dispatch:
    settings = parts.pop("settings", {})
    return Dispatch(
        settings=load_settings(flags={**NO_LIMITS, **settings}, environ={}),
        ledger=Ledger(store=store or SqliteStore(tmp_path / "ledger.sqlite"), clock=clock),
        **{"local": LocalRunner, "spark": no_spark, **parts},
    )


def make_request(source: Path, output: Path, *, tenant: str = "acme", table_format: Any = "delta") -> Request:
    return Request(
        tenant=tenant, day=DAY, input=parse_url(str(source)), output=parse_url(str(output)), table_format=table_format
    )


def run(dispatch: Dispatch, source: Path, tmp_path: Path, **options: Any) -> DayResult:
    return dispatch.run(make_request(source, tmp_path / "out"), progress=silent, **options)


def find_entry(dispatch: Dispatch) -> Entry:
    found = dispatch.ledger.find("acme", DAY)
    assert found is not None
    return found

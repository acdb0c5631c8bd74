"""The worker: duplicate and forced messages, days that others hold, and retries."""

import json
import shutil
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from daily_batch.errors import LeaseHeldError, RetryableError, TerminalError
from daily_batch.orchestration import worker
from daily_batch.orchestration.routing.route import UNLISTED
from daily_batch.pipeline.runners.local import LocalRunner
from tests.support.day_runs import DAY, read_tables
from tests.support.local_night import LocalNight, make_task


def test_5_a_duplicate_message_publishes_once(night: LocalNight) -> None:
    assert night.handle() == "published"
    tables = read_tables(night.folder / "out")
    assert night.handle() == "unchanged"
    assert (night.entry().token, read_tables(night.folder / "out")) == (1, tables)


def test_10_a_forced_message_reruns_the_day(night: LocalNight) -> None:
    night.handle()
    assert night.handle(make_task(force=True)) == "published"
    assert night.entry().token == 2


def test_16_a_day_that_would_lose_rows_needs_a_message_that_allows_it(night: LocalNight) -> None:
    night.handle()
    shutil.rmtree(night.folder / "in/acme/exports")
    with pytest.raises(TerminalError, match="would lose rows"):
        night.handle()
    assert (night.entry().status, night.entry().retryable) == ("FAILED", False)
    later = night.clock() + timedelta(minutes=1)
    assert night.handle(make_task(allow_shrink="yamada"), sent=later) == "published"
    receipt = json.loads((night.folder / "out" / str(night.entry().receipt)).read_text())
    assert receipt["shrink"]["by"] == "yamada"


def test_a_day_whose_tables_cannot_be_registered_is_published_with_a_line_in_the_log(night: LocalNight) -> None:
    night.settings["catalog"] = "glue:chat"
    telemetry = night.deliver()
    ((line, _),) = telemetry.errors
    assert line.startswith("the day is published, its tables are not registered: tenant=acme day=2025-08-12")
    assert "Athena cannot read" in line
    assert night.entry().status == "COMPLETED"
    assert night.handle() == "unchanged"


def test_5_a_message_fails_while_another_run_holds_its_day(night: LocalNight) -> None:
    night.ledger.acquire("acme", DAY, owner="another-host:1:1", run_id="other")
    with pytest.raises(LeaseHeldError):
        night.handle()


def test_5_a_message_is_done_if_a_job_holds_its_day(night: LocalNight) -> None:
    night.settings["runner"] = "spark"
    assert night.handle() == "submitted"
    assert night.handle() == "elsewhere"
    assert night.service.submissions == 1


def test_a_terminal_failure_is_not_retried_by_the_same_message(night: LocalNight) -> None:
    attempts: list[int] = []

    @dataclass
    class DeniedRunner:
        name: str = "local"

        def run(self, *_: Any, **__: Any) -> Any:
            attempts.append(1)
            raise TerminalError("the output is denied", next_step="allow it")

    night.local = DeniedRunner
    night.clock.now += timedelta(seconds=5)
    with pytest.raises(TerminalError):
        night.handle()
    assert night.handle() == "given up"
    assert len(attempts) == 1
    night.local = LocalRunner
    assert night.handle(sent=night.clock() + timedelta(minutes=1)) == "published"  # another message is a new request


def test_a_retryable_failure_is_retried_by_the_same_message(night: LocalNight) -> None:
    faults = iter([True])

    @dataclass
    class FlakyRunner:
        name: str = "local"

        def run(self, *arguments: Any, **named: Any) -> Any:
            if next(faults, False):
                raise RetryableError("the store is down", next_step="run the day again")
            return LocalRunner().run(*arguments, **named)

    night.local = FlakyRunner
    night.clock.now += timedelta(seconds=5)
    with pytest.raises(RetryableError):
        night.handle()
    assert night.handle() == "published"


def test_11_a_day_that_cannot_be_listed_in_time_goes_to_a_job(
    night: LocalNight, monkeypatch: pytest.MonkeyPatch
) -> None:
    night.handle()
    seconds = count(0, 10_000)  # each reading of the clock is hours later
    monkeypatch.setattr(worker, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    assert night.handle() == "submitted"
    assert "were listed in 510 s" in str(night.entry().handed_over)
    assert night.service.last is not None
    assert night.service.last.size == UNLISTED

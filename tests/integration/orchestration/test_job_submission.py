"""FAULTS 5, 6, 7 and 19: days submitted to a job service, their size, settings and cancellation."""

import errno
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daily_batch.domain.receipt import Receipt
from daily_batch.errors import BatchError, LeaseHeldError, RetryableError, TerminalError
from daily_batch.metadata.sqlite import SqliteStore
from daily_batch.orchestration.bootstrap import predict_job, refuse_costly
from daily_batch.orchestration.day_receipt import run_and_wait
from daily_batch.orchestration.routing.route import TOO_MANY_TO_LIST, UNLISTED
from daily_batch.orchestration.spark_jobs import JobSize, JobState, SparkJob
from daily_batch.pipeline.discover import manifest as manifest_module
from daily_batch.pipeline.discover.manifest import Manifest
from daily_batch.settings import load_settings
from tests.support.day_runs import DAY, NO_LIMITS, published_state, read_tables, silent
from tests.support.dispatch_runs import (
    FailingStore,
    TimedOutRunner,
    find_entry,
    make_dispatch,
    make_request,
    no_spark,
    run,
)
from tests.support.job_service import Clock, Service, run_job


def run_as_job(job: SparkJob) -> Receipt:
    return run_job(job, load_settings(flags=NO_LIMITS, environ={}), now=datetime(2025, 8, 12, 17, 5, tzinfo=UTC))


def test_a_submitted_job_gets_a_token_above_that_of_the_tables(source: Path, tmp_path: Path, clock: Clock) -> None:
    for _ in range(3):
        run(make_dispatch(tmp_path, clock), source, tmp_path)
    (tmp_path / "ledger.sqlite").unlink()
    service = Service()
    run(make_dispatch(tmp_path, clock, submitter=service, settings={"runner": "spark"}), source, tmp_path)
    (job,) = service.jobs.values()
    assert job.token == 4
    assert run_as_job(job).status == "COMPLETED_WITH_REJECTS"


# Submission and reconciliation


@pytest.mark.parametrize(("retryable", "kind"), [(True, RetryableError), (False, TerminalError)])
def test_waiting_for_a_failed_job_raises_whether_a_retry_can_help(
    source: Path, tmp_path: Path, clock: Clock, retryable: bool, kind: type[BatchError]
) -> None:
    service = Service(end="FAILED", retryable=retryable)
    dispatch = make_dispatch(tmp_path, clock, submitter=service, settings={"runner": "spark"})
    with pytest.raises(kind, match="ended as FAILED and left no receipt") as raised:
        run_and_wait(dispatch, make_request(source, tmp_path / "out"), progress=silent)
    assert type(raised.value) is kind


def test_5_a_submitted_day_is_not_submitted_again(source: Path, tmp_path: Path, clock: Clock) -> None:
    service = Service()
    dispatch = make_dispatch(tmp_path, clock, submitter=service, settings={"runner": "spark"})
    result = run(dispatch, source, tmp_path)
    clock.now += timedelta(hours=2)
    with pytest.raises(LeaseHeldError, match=str(result.job_id)):
        run(dispatch, source, tmp_path)
    assert service.submissions == 1


def test_6_a_submission_with_a_lost_response_finds_its_job(source: Path, tmp_path: Path, clock: Clock) -> None:
    service = Service(lost_answers=2)
    dispatch = make_dispatch(tmp_path, clock, submitter=service, settings={"runner": "spark"})
    for _ in range(2):
        with pytest.raises(RetryableError, match="did not answer"):
            run(dispatch, source, tmp_path)
        assert find_entry(dispatch).awaits_job_id
    result = run(dispatch, source, tmp_path)
    assert (len(service.jobs), service.submissions) == (1, 3)
    entry = find_entry(dispatch)
    assert (entry.job_id, entry.attempts, entry.token) == (result.job_id, 3, 1)


def test_6_the_next_submitter_finds_the_job_of_a_dead_one(source: Path, tmp_path: Path, clock: Clock) -> None:
    service = Service()
    failing = FailingStore(SqliteStore(tmp_path / "ledger.sqlite"), lambda item: item["job_id"] is not None)
    dispatch = make_dispatch(tmp_path, clock, store=failing, submitter=service, settings={"runner": "spark"})
    with pytest.raises(RetryableError, match="the ledger is down"):
        run(dispatch, source, tmp_path)
    clock.now += timedelta(minutes=3)
    dispatch = make_dispatch(tmp_path, clock, submitter=service, settings={"runner": "spark"})
    assert run(dispatch, source, tmp_path).kind == "submitted"
    assert len(service.jobs) == 1


def test_a_refused_submission_fails_the_day_with_its_reason(source: Path, tmp_path: Path, clock: Clock) -> None:
    dispatch = make_dispatch(tmp_path, clock, submitter=Service(refuses=True), settings={"runner": "spark"})
    with pytest.raises(TerminalError, match="refuses"):
        run(dispatch, source, tmp_path)
    assert (find_entry(dispatch).status, find_entry(dispatch).lease_until) == ("FAILED", None)


@pytest.mark.parametrize("end", ["FAILED", "LOST", "SUCCEEDED"])
def test_19_a_job_that_ended_without_a_receipt_has_failed(
    source: Path, tmp_path: Path, clock: Clock, end: JobState
) -> None:
    service = Service()
    dispatch = make_dispatch(tmp_path, clock, submitter=service, settings={"runner": "spark"})
    result = run(dispatch, source, tmp_path)
    assert find_entry(dispatch).status == "SUBMITTED"
    service.end = end
    dispatch.reconcile(make_request(source, tmp_path / "out"))
    entry = find_entry(dispatch)
    assert (entry.status, entry.lease_until) == ("FAILED", None)
    assert str(result.job_id) in str(entry.error)


@pytest.mark.parametrize("end", ["FAILED", "LOST", "SUCCEEDED"])
def test_19_a_job_that_ended_with_a_receipt_has_published(
    source: Path, tmp_path: Path, clock: Clock, end: JobState
) -> None:
    service = Service()
    dispatch = make_dispatch(tmp_path, clock, submitter=service, settings={"runner": "spark"})
    result = run(dispatch, source, tmp_path)
    (job,) = service.jobs.values()
    receipt = run_as_job(job)
    service.end = end
    dispatch.reconcile(make_request(source, tmp_path / "out"))
    entry = find_entry(dispatch)
    assert entry.is_complete
    assert (entry.run_id, entry.message_count) == (result.run_id, receipt.records.written)


def test_7_a_job_whose_day_was_taken_over_publishes_nothing(source: Path, tmp_path: Path, clock: Clock) -> None:
    service = Service()
    dispatch = make_dispatch(tmp_path, clock, submitter=service, settings={"runner": "spark"})
    run(dispatch, source, tmp_path)
    (job,) = service.jobs.values()
    later = run(make_dispatch(tmp_path, clock, settings={"runner": "local"}), source, tmp_path, take_over=True)
    state = published_state(tmp_path / "out")
    with pytest.raises(LeaseHeldError, match="the lease is lost"):
        run_as_job(job)
    assert published_state(tmp_path / "out") == state
    assert find_entry(dispatch).run_id == later.run_id


def test_a_job_started_twice_publishes_once(source: Path, tmp_path: Path, clock: Clock) -> None:
    service = Service()
    run(make_dispatch(tmp_path, clock, submitter=service, settings={"runner": "spark"}), source, tmp_path)
    (job,) = service.jobs.values()
    first = run_as_job(job)
    tables = read_tables(tmp_path / "out")
    assert run_as_job(job).records == first.records
    assert read_tables(tmp_path / "out") == tables


# Size, settings and cancellation of jobs


def test_a_job_is_sized_once_and_resubmitted_in_the_same_size(source: Path, tmp_path: Path, clock: Clock) -> None:
    service = Service(lost_answers=1)
    sizes = iter([JobSize(executors=7, disk_gb=60), JobSize(executors=1)])
    dispatch = make_dispatch(
        tmp_path, clock, submitter=service, settings={"runner": "spark"}, job_size=lambda manifest: next(sizes)
    )
    with pytest.raises(RetryableError):
        run(dispatch, source, tmp_path)
    assert run(dispatch, source, tmp_path).kind == "submitted"
    (job,) = service.jobs.values()
    assert service.last is not None
    assert service.last.size == job.size == JobSize(executors=7, disk_gb=60)


def test_a_job_receives_the_settings_of_its_submitter(source: Path, tmp_path: Path, clock: Clock) -> None:
    service = Service()
    settings = {"runner": "spark", "slack_seconds": 60, "timezone": "Europe/Paris", "cosmos_key": "secret"}
    run(make_dispatch(tmp_path, clock, submitter=service, settings=settings), source, tmp_path)
    (job,) = service.jobs.values()
    assert job.settings == {"slack_seconds": 60, "timezone": "Europe/Paris", **NO_LIMITS}
    assert json.loads(job.arguments()[-1]) == job.settings


def test_a_day_goes_to_the_service_after_a_killed_local_run(source: Path, tmp_path: Path, clock: Clock) -> None:
    service = Service()

    @dataclass
    class KilledRunner:
        name: str = "local"

        def run(self, *_: Any, **__: Any) -> Any:
            raise SystemExit

    failing = FailingStore(SqliteStore(tmp_path / "ledger.sqlite"), lambda item: item["status"] == "FAILED")
    with pytest.raises(SystemExit):
        run(make_dispatch(tmp_path, clock, store=failing, submitter=service, local=KilledRunner), source, tmp_path)
    clock.now += timedelta(minutes=3)
    result = run(make_dispatch(tmp_path, clock, submitter=service, local=no_spark), source, tmp_path)
    assert (result.kind, result.reason) == (
        "submitted",
        "an earlier run in a function's own process was killed before it ended",
    )


def test_a_day_that_cannot_be_listed_goes_to_the_service(source: Path, tmp_path: Path, clock: Clock) -> None:
    service = Service()
    for number in range(2):
        clock.now += timedelta(minutes=3)
        dispatch = make_dispatch(tmp_path, clock, submitter=service)
        dispatch.ledger.acquire("acme", DAY, owner="function stream", run_id=f"killed-{number}")
    clock.now += timedelta(minutes=3)
    (source / "acme").rename(source / "moved")  # a listing would find nothing
    result = run(make_dispatch(tmp_path, clock, submitter=service, local=no_spark), source, tmp_path)
    assert (result.kind, result.reason) == ("submitted", TOO_MANY_TO_LIST)
    (job,) = service.jobs.values()
    assert job.size == UNLISTED


@pytest.mark.parametrize("max_usd", [0, 100])
def test_a_manifest_that_fills_the_disk_hands_the_day_over(
    source: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, max_usd: int
) -> None:
    def write_to_full_disk(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(manifest_module, "write_chunk", write_to_full_disk)
    service = Service()
    dispatch = make_dispatch(tmp_path, clock, submitter=service, check_cost=ceiling(max_usd=max_usd))
    if max_usd:
        with pytest.raises(TerminalError, match="the day was not listed"):
            run(dispatch, source, tmp_path)
        assert service.submissions == 0
        return
    assert run(dispatch, source, tmp_path).reason == "the temporary disk is full of the day's manifest"
    (job,) = service.jobs.values()
    assert job.size == UNLISTED


# The ceiling


def ceiling(**flags: object) -> Callable[[Manifest | None], None]:
    settings = load_settings(flags={"spark": "emr-serverless", **flags}, environ={})
    return lambda manifest: refuse_costly(predict_job(manifest, settings))


def test_a_day_handed_over_by_the_local_runner_is_refused_above_the_ceiling(
    source: Path, tmp_path: Path, clock: Clock
) -> None:
    service = Service()
    dispatch = make_dispatch(tmp_path, clock, submitter=service, local=TimedOutRunner, check_cost=ceiling(max_usd=0.01))
    with pytest.raises(TerminalError, match=r"tenant=acme day=2025-08-12: .*max_usd is 0\.01"):
        run(dispatch, source, tmp_path)
    assert (service.submissions, find_entry(dispatch).status) == (0, "FAILED")


def test_a_day_that_cannot_be_listed_is_refused_under_a_ceiling(source: Path, tmp_path: Path, clock: Clock) -> None:
    service = Service()
    for number in range(2):
        clock.now += timedelta(minutes=3)
        make_dispatch(tmp_path, clock).ledger.acquire("acme", DAY, owner="function", run_id=f"killed-{number}")
    clock.now += timedelta(minutes=3)
    dispatch = make_dispatch(tmp_path, clock, submitter=service, local=no_spark, check_cost=ceiling(max_usd=1_000))
    with pytest.raises(TerminalError, match="the day was not listed"):
        run(dispatch, source, tmp_path)
    assert (service.submissions, find_entry(dispatch).retryable) == (0, False)


def test_a_submission_without_an_answer_is_repeated_under_the_ceiling_that_it_passed(
    source: Path, tmp_path: Path, clock: Clock
) -> None:
    # Its job may be running: a refusal would only lose it.
    service = Service(lost_answers=1)
    options: dict[str, Any] = {"submitter": service, "settings": {"runner": "spark"}}
    with pytest.raises(RetryableError, match="did not answer"):
        run(make_dispatch(tmp_path, clock, check_cost=ceiling(max_usd=1), **options), source, tmp_path)
    result = run(make_dispatch(tmp_path, clock, check_cost=ceiling(max_usd=0.01), **options), source, tmp_path)
    assert (result.kind, len(service.jobs)) == ("submitted", 1)


def test_a_job_that_waits_too_long_is_cancelled_and_retryable(source: Path, tmp_path: Path, clock: Clock) -> None:
    service = Service(end="WAITING", waiting_since=clock.now)
    dispatch = make_dispatch(tmp_path, clock, submitter=service, settings={"runner": "spark", "job_wait_minutes": 30})
    result = run(dispatch, source, tmp_path)
    request = make_request(source, tmp_path / "out")
    clock.now += timedelta(minutes=29)
    dispatch.reconcile(request)
    assert service.cancelled == []
    clock.now += timedelta(minutes=2)
    dispatch.reconcile(request)
    assert service.cancelled == [result.job_id]
    assert find_entry(dispatch).status == "SUBMITTED"  # until its service reports its end
    service.end, service.retryable, service.waiting_since = "FAILED", False, None
    dispatch.reconcile(request)
    entry = find_entry(dispatch)
    assert (entry.status, entry.retryable) == ("FAILED", True)
    assert "waited 30 minutes for workers" in str(entry.error)


def test_taking_over_a_day_cancels_its_job(source: Path, tmp_path: Path, clock: Clock) -> None:
    service = Service()
    dispatch = make_dispatch(tmp_path, clock, submitter=service, settings={"runner": "spark"})
    first = run(dispatch, source, tmp_path)
    second = run(dispatch, source, tmp_path, take_over=True)
    assert service.cancelled == [first.job_id]
    assert second.job_id != first.job_id

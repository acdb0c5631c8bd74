"""FAULTS 2, 5, 6, 8, 11, 17 and 19, and escalation: a day between the ledger, the runners and a job service."""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pytest import MonkeyPatch

from daily_batch.domain.request import Request
from daily_batch.domain.url import parse_url
from daily_batch.errors import BatchError, HandOverError, LeaseHeldError, RetryableError, TerminalError
from daily_batch.ledger import Entry, Ledger
from daily_batch.metadata import Item, MetadataStore
from daily_batch.metadata.sqlite import SqliteStore
from daily_batch.orchestration.day_receipt import run_and_wait
from daily_batch.orchestration.day_run import DayResult
from daily_batch.orchestration.dispatch import Dispatch
from daily_batch.orchestration.routing.route import TOO_MANY_TO_LIST, UNLISTED
from daily_batch.orchestration.spark_jobs import JobSize, JobState, SparkJob
from daily_batch.orchestration.spark_jobs.spark_submit import SparkSubmit
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.pipeline.runners.spark import SparkRunner
from daily_batch.settings import load_settings
from daily_batch.synthetic import FaultRates, generate
from tests.support.day_runs import DAY, NO_LIMITS, ROOT, published_state, read_tables, run_local, silent
from tests.support.job_service import Clock, Service
from tests.support.spark_session import LOCAL_CONF


@dataclass
class Failing:
    """A metadata store whose `put` fails as often as told, from some call on; after it has written, if asked."""

    store: MetadataStore
    fails: Callable[[Item], bool]
    written: bool = False

    def get(self, pk: str, sk: str) -> Any:
        return self.store.get(pk, sk)

    def query(self, pk: str, *, first: str, last: str) -> Any:
        return self.store.query(pk, first=first, last=last)

    def put(self, item: Item, *, expected: str | None) -> str:
        failing = self.fails(item)
        if failing and not self.written:
            raise RetryableError("the ledger is down", next_step="run the day again")
        version = self.store.put(item, expected=expected)
        if failing:
            raise RetryableError("the answer is lost", next_step="run the day again")
        return version


@dataclass
class TooLong:
    """A local runner whose time runs short."""

    name: str = "local"

    def run(self, *_: Any, **__: Any) -> Any:
        raise HandOverError("0 of 1 chunks in 600 s", next_step="run the day on Spark")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    generate(messages=120, layout="export", seed=1, out=tmp_path / "in", rates=FaultRates.rich(), files=2)
    return tmp_path / "in"


@pytest.fixture
def clock() -> Clock:
    return Clock()


def no_spark() -> Any:
    raise AssertionError("Spark was asked for")


def make(tmp_path: Path, clock: Clock, *, store: MetadataStore | None = None, **parts: Any) -> Dispatch:
    settings = parts.pop("settings", {})
    return Dispatch(
        settings=load_settings(flags={**NO_LIMITS, **settings}, environ={}),
        ledger=Ledger(store=store or SqliteStore(tmp_path / "ledger.sqlite"), clock=clock),
        **{"local": LocalRunner, "spark": no_spark, **parts},
    )


def ask(source: Path, output: Path, *, tenant: str = "acme", table_format: Any = "delta") -> Request:
    return Request(
        tenant=tenant, day=DAY, input=parse_url(str(source)), output=parse_url(str(output)), table_format=table_format
    )


def run(dispatch: Dispatch, source: Path, tmp_path: Path, **options: Any) -> DayResult:
    return dispatch.run(ask(source, tmp_path / "out"), progress=silent, **options)


def find(dispatch: Dispatch) -> Entry:
    found = dispatch.ledger.find("acme", DAY)
    assert found is not None
    return found


def test_a_published_day_is_in_the_ledger_as_the_platform_reads_it(source: Path, tmp_path: Path, clock: Clock) -> None:
    dispatch = make(tmp_path, clock)
    receipt = run(dispatch, source, tmp_path).receipt
    assert receipt is not None
    stored = dispatch.ledger.store.get("TENANT#acme#BATCH", "DAILY#2025-08-12")
    assert stored is not None
    item = stored.item
    assert (item["batch_type"], item["status"]) == ("daily_message_parquet", "COMPLETED_WITH_REJECTS")
    assert (item["message_count"], item["fingerprint"]) == (receipt.records.written, receipt.fingerprint)
    assert item["output_path"] == f"{tmp_path / 'out'}/acme/analytics"
    assert (tmp_path / "out" / str(item["receipt"])).is_file()
    assert item["lease_until"] is None


# 8: the ledger is down


@pytest.mark.parametrize("status", ["RUNNING", "COMPLETED_WITH_REJECTS"])
def test_8_a_ledger_that_is_down_when_a_run_begins_or_publishes_lets_nothing_be_published(
    source: Path, tmp_path: Path, clock: Clock, status: str
) -> None:
    run_local(input=source, output=tmp_path / "out")
    before = published_state(tmp_path / "out")
    down = Failing(SqliteStore(tmp_path / "ledger.sqlite"), lambda item: True)
    with pytest.raises(RetryableError, match="the ledger is down"):
        run(make(tmp_path, clock, store=down), source, tmp_path)
    assert published_state(tmp_path / "out") == before


def test_8_a_ledger_that_goes_down_under_a_run_lets_nothing_be_published(
    source: Path, tmp_path: Path, clock: Clock
) -> None:
    run_local(input=source, output=tmp_path / "out")
    before = read_tables(tmp_path / "out", day=None), published_state(tmp_path / "out")
    down = [False]
    store = Failing(SqliteStore(tmp_path / "ledger.sqlite"), lambda item: down[0])

    @dataclass
    class Breaking:
        name: str = "local"

        def run(self, *arguments: Any, **named: Any) -> Any:
            outcome = LocalRunner().run(*arguments, **named)
            down[0] = True
            return outcome

    dispatch = make(tmp_path, clock, store=store, local=Breaking)
    with pytest.raises(RetryableError, match="the ledger is down"):
        run(dispatch, source, tmp_path)
    assert (read_tables(tmp_path / "out", day=None), published_state(tmp_path / "out")) == before
    down[0] = False
    with pytest.raises(LeaseHeldError):  # it could not be told that the run has ended
        run(make(tmp_path, clock, store=store), source, tmp_path)
    clock.now += timedelta(minutes=3)
    assert run(make(tmp_path, clock, store=store), source, tmp_path).kind == "published"


def test_2_a_run_that_published_and_could_not_say_so_is_run_again_without_doubling(
    source: Path, tmp_path: Path, clock: Clock
) -> None:
    store = Failing(SqliteStore(tmp_path / "ledger.sqlite"), lambda item: item["message_count"] is not None)
    with pytest.raises(RetryableError, match="the ledger is down"):
        run(make(tmp_path, clock, store=store), source, tmp_path)
    published = read_tables(tmp_path / "out")
    assert published["messages"]
    clock.now += timedelta(minutes=3)
    assert run(make(tmp_path, clock), source, tmp_path).kind == "published"
    assert read_tables(tmp_path / "out") == published


def test_8_a_lost_answer_of_the_ledger_is_no_other_run(source: Path, tmp_path: Path, clock: Clock) -> None:
    answers = iter([True])
    store = Failing(SqliteStore(tmp_path / "ledger.sqlite"), lambda item: next(answers, False), written=True)
    with pytest.raises(RetryableError):
        run(make(tmp_path, clock, store=store), source, tmp_path)
    clock.now += timedelta(minutes=3)
    assert run(make(tmp_path, clock), source, tmp_path).kind == "published"


def test_tokens_go_on_where_the_tables_are_when_the_ledger_is_lost(source: Path, tmp_path: Path, clock: Clock) -> None:
    for _ in range(3):
        run(make(tmp_path, clock), source, tmp_path)
    (tmp_path / "ledger.sqlite").unlink()
    dispatch = make(tmp_path, clock)
    assert run(dispatch, source, tmp_path).kind == "published"
    assert find(dispatch).token == 4


def test_a_submitted_job_gets_a_token_above_that_of_the_tables(source: Path, tmp_path: Path, clock: Clock) -> None:
    for _ in range(3):
        run(make(tmp_path, clock), source, tmp_path)
    (tmp_path / "ledger.sqlite").unlink()
    service = Service()
    run(make(tmp_path, clock, submitter=service, settings={"runner": "spark"}), source, tmp_path)
    (job,) = service.jobs.values()
    assert job.token == 4
    assert run_as_job(job, source, tmp_path).status == "COMPLETED_WITH_REJECTS"


def test_a_published_day_stays_published_when_the_ledgers_answer_is_lost(
    source: Path, tmp_path: Path, clock: Clock
) -> None:
    completing = iter([True])
    store = Failing(
        SqliteStore(tmp_path / "ledger.sqlite"),
        lambda item: item["message_count"] is not None and next(completing, False),
        written=True,
    )
    dispatch = make(tmp_path, clock, store=store)
    with pytest.raises(RetryableError, match="the answer is lost"):
        run(dispatch, source, tmp_path)
    assert find(dispatch).is_complete


# 11: late and corrected data


def test_11_an_object_that_came_after_completion_is_found_and_an_unchanged_day_is_not_run(
    source: Path, tmp_path: Path, clock: Clock
) -> None:
    dispatch = make(tmp_path, clock)
    first = run(dispatch, source, tmp_path)
    state = published_state(tmp_path / "out")
    again = run(dispatch, source, tmp_path, if_changed=True)
    assert (again.kind, again.run_id) == ("unchanged", first.run_id)
    assert published_state(tmp_path / "out") == state
    generate(messages=10, layout="export", seed=7, out=tmp_path / "late", files=1)
    (late,) = (tmp_path / "late").rglob("*.gz")
    late.rename(source / "acme/exports/messages/2025/08/12/late.jsonl.gz")
    changed = run(dispatch, source, tmp_path, if_changed=True)
    assert changed.receipt is not None
    assert changed.receipt.objects.listed == 3


def test_11_an_object_that_was_overwritten_or_removed_is_found(source: Path, tmp_path: Path, clock: Clock) -> None:
    dispatch = make(tmp_path, clock)
    run(dispatch, source, tmp_path)
    one, two = sorted((source / "acme/exports/messages/2025/08/12").iterdir())
    two.write_bytes(one.read_bytes())
    assert run(dispatch, source, tmp_path, if_changed=True).kind == "published"
    two.unlink()
    with pytest.raises(TerminalError, match="would lose rows"):
        run(dispatch, source, tmp_path, if_changed=True)
    allowed = replace(ask(source, tmp_path / "out"), allow_shrink="alice")
    assert dispatch.run(allowed, progress=silent, if_changed=True).kind == "published"
    assert run(dispatch, source, tmp_path, if_changed=True).kind == "unchanged"


def test_a_day_that_failed_or_went_elsewhere_is_run_though_nothing_changed(
    source: Path, tmp_path: Path, clock: Clock
) -> None:
    dispatch = make(tmp_path, clock)
    run(dispatch, source, tmp_path)
    elsewhere = dispatch.run(ask(source, tmp_path / "other"), progress=silent, if_changed=True)
    assert elsewhere.kind == "published"
    with pytest.raises(HandOverError):
        run(make(tmp_path, clock, local=TooLong, settings={"runner": "local"}), source, tmp_path)
    assert find(dispatch).status == "FAILED"
    assert run(dispatch, source, tmp_path, if_changed=True).kind == "published"


# 17: one tenant poisoned


def test_17_a_poisoned_tenant_fails_alone_and_the_ledger_says_why(source: Path, tmp_path: Path, clock: Clock) -> None:
    generate(messages=50, layout="export", seed=2, out=source, tenant="globex", files=1)
    for path in (source / "acme").rglob("*.gz"):
        path.write_bytes(b"{broken\n" * 50)
        path.rename(path.with_suffix(""))
    dispatch = make(tmp_path, clock, settings={"max_reject_ratio": 0.5})
    with pytest.raises(TerminalError, match="rejected"):
        run(dispatch, source, tmp_path)
    assert dispatch.run(ask(source, tmp_path / "out", tenant="globex"), progress=silent).kind == "published"
    failed = find(dispatch)
    assert (failed.status, failed.lease_until) == ("FAILED", None)
    assert "max_reject_ratio" in str(failed.error)


# Escalation


def test_a_day_that_is_too_long_for_this_process_is_published_by_spark_through_the_same_item(
    source: Path, tmp_path: Path, clock: Clock, spark: Any
) -> None:
    dispatch = make(tmp_path, clock, local=TooLong, spark=lambda: SparkRunner(spark))
    receipt = run(dispatch, source, tmp_path).receipt
    assert receipt is not None
    assert receipt.runner == "spark"
    entry = find(dispatch)
    assert (entry.token, entry.attempts, entry.runner, entry.is_complete) == (1, 1, "spark", True)
    run_local(input=source, output=tmp_path / "wanted")
    assert read_tables(tmp_path / "out") == read_tables(tmp_path / "wanted")


def test_a_day_that_routing_sends_to_spark_is_not_begun_here(source: Path, tmp_path: Path, clock: Clock) -> None:
    service = Service()
    dispatch = make(
        tmp_path, clock, local=no_spark, submitter=service, reason_for_spark=lambda manifest: "too many messages"
    )
    answer = run(dispatch, source, tmp_path)
    assert (answer.kind, answer.reason) == ("submitted", "too many messages")
    entry = find(dispatch)
    assert (entry.status, entry.runner, entry.job_id) == ("SUBMITTED", "spark", answer.job_id)
    assert not (tmp_path / "out/acme").exists()


def test_a_day_that_was_handed_over_and_failed_goes_to_spark_at_once(
    source: Path, tmp_path: Path, clock: Clock
) -> None:
    service = Service(end="FAILED")
    dispatch = make(tmp_path, clock, local=TooLong, submitter=service)
    run(dispatch, source, tmp_path)
    again = make(tmp_path, clock, local=no_spark, submitter=service)
    assert run(again, source, tmp_path).kind == "submitted"
    assert len(service.jobs) == 2  # another attempt, another job


def test_a_day_that_must_be_run_here_and_cannot_says_so(source: Path, tmp_path: Path, clock: Clock) -> None:
    dispatch = make(tmp_path, clock, local=TooLong, settings={"runner": "local"})
    with pytest.raises(HandOverError, match="0 of 1 chunks"):
        run(dispatch, source, tmp_path)
    assert find(dispatch).status == "FAILED"


# 5, 6 and 19: submitted jobs


@pytest.mark.parametrize(("retryable", "error"), [(True, RetryableError), (False, TerminalError)])
def test_who_waits_for_a_job_that_fails_learns_whether_a_retry_can_help(
    source: Path, tmp_path: Path, clock: Clock, retryable: bool, error: type[BatchError]
) -> None:
    service = Service(end="FAILED", retryable=retryable)
    dispatch = make(tmp_path, clock, submitter=service, settings={"runner": "spark"})
    with pytest.raises(error, match="ended as FAILED and left no receipt") as raised:
        run_and_wait(dispatch, ask(source, tmp_path / "out"), progress=silent)
    assert type(raised.value) is error


def test_5_a_submitted_day_is_not_submitted_again(source: Path, tmp_path: Path, clock: Clock) -> None:
    service = Service()
    dispatch = make(tmp_path, clock, submitter=service, settings={"runner": "spark"})
    answer = run(dispatch, source, tmp_path)
    clock.now += timedelta(hours=2)
    with pytest.raises(LeaseHeldError, match=str(answer.job_id)):
        run(dispatch, source, tmp_path)
    assert service.asked == 1


def test_6_a_submission_whose_answer_was_lost_finds_its_job_again(source: Path, tmp_path: Path, clock: Clock) -> None:
    service = Service(lost_answers=2)
    dispatch = make(tmp_path, clock, submitter=service, settings={"runner": "spark"})
    for _ in range(2):
        with pytest.raises(RetryableError, match="did not answer"):
            run(dispatch, source, tmp_path)
        assert find(dispatch).awaits_job_id
    answer = run(dispatch, source, tmp_path)
    assert (len(service.jobs), service.asked) == (1, 3)
    assert (find(dispatch).job_id, find(dispatch).attempts, find(dispatch).token) == (answer.job_id, 3, 1)


def test_6_a_submitter_that_dies_before_it_has_the_answer_is_followed_by_one_that_gets_it(
    source: Path, tmp_path: Path, clock: Clock
) -> None:
    service = Service()
    dying = Failing(SqliteStore(tmp_path / "ledger.sqlite"), lambda item: item["job_id"] is not None)
    with pytest.raises(RetryableError, match="the ledger is down"):
        run(make(tmp_path, clock, store=dying, submitter=service, settings={"runner": "spark"}), source, tmp_path)
    clock.now += timedelta(minutes=3)
    dispatch = make(tmp_path, clock, submitter=service, settings={"runner": "spark"})
    assert run(dispatch, source, tmp_path).kind == "submitted"
    assert len(service.jobs) == 1


def test_a_submission_that_is_refused_ends_the_day_with_its_reason(source: Path, tmp_path: Path, clock: Clock) -> None:
    dispatch = make(tmp_path, clock, submitter=Service(refuses=True), settings={"runner": "spark"})
    with pytest.raises(TerminalError, match="refuses"):
        run(dispatch, source, tmp_path)
    assert (find(dispatch).status, find(dispatch).lease_until) == ("FAILED", None)


@pytest.mark.parametrize("end", ["FAILED", "LOST", "SUCCEEDED"])
def test_19_a_job_that_ended_without_a_receipt_has_failed_whatever_its_service_says(
    source: Path, tmp_path: Path, clock: Clock, end: JobState
) -> None:
    service = Service()
    dispatch = make(tmp_path, clock, submitter=service, settings={"runner": "spark"})
    answer = run(dispatch, source, tmp_path)
    assert find(dispatch).status == "SUBMITTED"
    service.end = end
    dispatch.reconcile(ask(source, tmp_path / "out"))
    entry = find(dispatch)
    assert (entry.status, entry.lease_until) == ("FAILED", None)
    assert str(answer.job_id) in str(entry.error)


@pytest.mark.parametrize("end", ["FAILED", "LOST", "SUCCEEDED"])
def test_19_a_job_that_left_its_receipt_has_published_whatever_its_service_says(
    source: Path, tmp_path: Path, clock: Clock, end: JobState, monkeypatch: MonkeyPatch
) -> None:
    service = Service()
    dispatch = make(tmp_path, clock, submitter=service, settings={"runner": "spark"})
    answer = run(dispatch, source, tmp_path)
    (job,) = service.jobs.values()
    receipt = run_as_job(job, source, tmp_path)
    service.end = end
    dispatch.reconcile(ask(source, tmp_path / "out"))
    entry = find(dispatch)
    assert entry.is_complete
    assert (entry.run_id, entry.message_count) == (answer.run_id, receipt.records.written)


def run_as_job(job: SparkJob, source: Path, tmp_path: Path) -> Any:
    """What a service's job does, in this process and by the local runner."""
    from daily_batch.entrypoints.submitted_job import fence
    from daily_batch.pipeline.process_day import process_day

    settings = load_settings(flags=NO_LIMITS, environ={})
    return process_day(
        job.request,
        settings,
        LocalRunner(),
        fence(job.request, settings, job.token),
        run_id=job.run_id,
        now=datetime(2025, 8, 12, 17, 5, tzinfo=UTC),
        progress=silent,
    )


def test_7_a_job_whose_day_was_taken_over_publishes_nothing(source: Path, tmp_path: Path, clock: Clock) -> None:
    service = Service()
    dispatch = make(tmp_path, clock, submitter=service, settings={"runner": "spark"})
    run(dispatch, source, tmp_path)
    (job,) = service.jobs.values()
    later = run(make(tmp_path, clock, settings={"runner": "local"}), source, tmp_path, take_over=True)
    state = published_state(tmp_path / "out")
    with pytest.raises(LeaseHeldError, match="the lease is lost"):
        run_as_job(job, source, tmp_path)
    assert published_state(tmp_path / "out") == state
    assert find(dispatch).run_id == later.run_id


def test_a_job_that_its_service_starts_twice_publishes_once(source: Path, tmp_path: Path, clock: Clock) -> None:
    service = Service()
    run(make(tmp_path, clock, submitter=service, settings={"runner": "spark"}), source, tmp_path)
    (job,) = service.jobs.values()
    first = run_as_job(job, source, tmp_path)
    tables = read_tables(tmp_path / "out")
    assert run_as_job(job, source, tmp_path).records == first.records
    assert read_tables(tmp_path / "out") == tables


# A real job of this machine's spark-submit


@pytest.fixture
def service(tmp_path: Path) -> SparkSubmit:
    return SparkSubmit(
        folder=tmp_path / "jobs",
        script=ROOT / "jobs/daily_messages.py",
        options=("--properties-file", str(LOCAL_CONF)),
    )


def wait_for(condition: Callable[[], bool], *, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.2)


def test_a_day_submitted_to_spark_ends_with_the_tables_of_a_local_run(
    source: Path, tmp_path: Path, clock: Clock, service: SparkSubmit, monkeypatch: MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    dispatch = make(tmp_path, clock, submitter=service, settings={"runner": "spark"})
    answer = run(dispatch, source, tmp_path)
    assert service.submit(next_job(dispatch, source, tmp_path)) == answer.job_id
    wait_for(lambda: service.get_status(str(answer.job_id)).state not in ("WAITING", "RUNNING"))
    dispatch.reconcile(ask(source, tmp_path / "out"))
    entry = find(dispatch)
    assert entry.is_complete, (service.folder / str(answer.job_id) / "log").read_text()[-2000:]
    run_local(input=source, output=tmp_path / "wanted")
    assert read_tables(tmp_path / "out") == read_tables(tmp_path / "wanted")


def next_job(dispatch: Dispatch, source: Path, tmp_path: Path) -> SparkJob:
    """The job that the ledger's item stands for."""
    entry = find(dispatch)
    return SparkJob(request=ask(source, tmp_path / "out"), run_id=str(entry.run_id), token=entry.token)


def test_19_a_job_that_was_killed_is_found_lost_and_the_next_run_goes_on(
    source: Path, tmp_path: Path, clock: Clock, service: SparkSubmit, monkeypatch: MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    dispatch = make(tmp_path, clock, submitter=service, settings={"runner": "spark"})
    job_id = str(run(dispatch, source, tmp_path).job_id)
    wait_for(lambda: service.get_status(job_id).state == "RUNNING")
    group = service.process_group(job_id)
    assert group is not None
    os.killpg(group, signal.SIGKILL)
    wait_for(lambda: service.get_status(job_id).state == "LOST")
    dispatch.reconcile(ask(source, tmp_path / "out"))
    entry = find(dispatch)
    assert entry.status == "FAILED"
    again = run(make(tmp_path, clock, settings={"runner": "local"}), source, tmp_path)
    assert again.kind == "published"
    assert replace(find(dispatch)).token == 2


# How large a job is, what it is told, and when it is given up


def test_a_job_is_as_large_as_its_manifest_and_asked_for_again_in_the_same_size(
    source: Path, tmp_path: Path, clock: Clock
) -> None:
    service = Service(lost_answers=1)
    sizes = iter([JobSize(executors=7, disk_gb=60), JobSize(executors=1)])
    dispatch = make(
        tmp_path, clock, submitter=service, settings={"runner": "spark"}, job_size=lambda manifest: next(sizes)
    )
    with pytest.raises(RetryableError):
        run(dispatch, source, tmp_path)
    assert run(dispatch, source, tmp_path).kind == "submitted"
    (job,) = service.jobs.values()
    assert service.last is not None
    assert service.last.size == job.size == JobSize(executors=7, disk_gb=60)


def test_a_job_is_told_the_settings_that_its_submitter_was_given(source: Path, tmp_path: Path, clock: Clock) -> None:
    service = Service()
    given = {"runner": "spark", "slack_seconds": 60, "timezone": "Europe/Paris", "cosmos_key": "secret"}
    run(make(tmp_path, clock, submitter=service, settings=given), source, tmp_path)
    (job,) = service.jobs.values()
    assert job.settings == {"slack_seconds": 60, "timezone": "Europe/Paris", **NO_LIMITS}
    assert json.loads(job.arguments()[-1]) == job.settings


def test_a_day_whose_local_run_was_killed_goes_to_the_service(source: Path, tmp_path: Path, clock: Clock) -> None:
    service = Service()

    @dataclass
    class Killed:
        name: str = "local"

        def run(self, *_: Any, **__: Any) -> Any:
            raise SystemExit

    dead = Failing(SqliteStore(tmp_path / "ledger.sqlite"), lambda item: item["status"] == "FAILED")
    with pytest.raises(SystemExit):
        run(make(tmp_path, clock, store=dead, submitter=service, local=Killed), source, tmp_path)
    clock.now += timedelta(minutes=3)
    answer = run(make(tmp_path, clock, submitter=service, local=no_spark), source, tmp_path)
    assert (answer.kind, answer.reason) == (
        "submitted",
        "an earlier run in a function's own process was killed before it ended",
    )


def test_a_day_that_a_function_cannot_even_list_goes_to_the_service_in_the_end(
    source: Path, tmp_path: Path, clock: Clock
) -> None:
    service = Service()
    for number in range(2):
        clock.now += timedelta(minutes=3)
        dispatch = make(tmp_path, clock, submitter=service)
        dispatch.ledger.acquire("acme", DAY, owner="function stream", run_id=f"killed-{number}")
    clock.now += timedelta(minutes=3)
    (source / "acme").rename(source / "moved")  # whoever listed would find nothing
    answer = run(make(tmp_path, clock, submitter=service, local=no_spark), source, tmp_path)
    assert (answer.kind, answer.reason) == ("submitted", TOO_MANY_TO_LIST)
    (job,) = service.jobs.values()
    assert job.size == UNLISTED


def test_a_job_that_waits_too_long_is_cancelled_and_its_day_may_be_tried_again(
    source: Path, tmp_path: Path, clock: Clock
) -> None:
    service = Service(end="WAITING", waiting_since=clock.now)
    dispatch = make(tmp_path, clock, submitter=service, settings={"runner": "spark", "job_wait_minutes": 30})
    answer = run(dispatch, source, tmp_path)
    request = ask(source, tmp_path / "out")
    clock.now += timedelta(minutes=29)
    dispatch.reconcile(request)
    assert service.cancelled == []
    clock.now += timedelta(minutes=2)
    dispatch.reconcile(request)
    assert service.cancelled == [answer.job_id]
    assert find(dispatch).status == "SUBMITTED"  # until its service says that it has ended
    service.end, service.retryable, service.waiting_since = "FAILED", False, None
    dispatch.reconcile(request)
    entry = find(dispatch)
    assert (entry.status, entry.retryable) == ("FAILED", True)
    assert "waited 30 minutes for workers" in str(entry.error)


def test_the_job_of_a_day_that_is_taken_over_is_cancelled(source: Path, tmp_path: Path, clock: Clock) -> None:
    service = Service()
    dispatch = make(tmp_path, clock, submitter=service, settings={"runner": "spark"})
    first = run(dispatch, source, tmp_path)
    second = run(dispatch, source, tmp_path, take_over=True)
    assert service.cancelled == [first.job_id]
    assert second.job_id != first.job_id

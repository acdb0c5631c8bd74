"""FAULTS 2, 8, 11 and 17, and escalation: a day between the ledger and the runners."""

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from daily_batch.errors import HandOverError, LeaseHeldError, RetryableError, TerminalError
from daily_batch.metadata.sqlite import SqliteStore
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.pipeline.runners.spark import SparkRunner
from daily_batch.synthetic import generate
from tests.support.day_runs import published_state, read_tables, run_local, silent
from tests.support.dispatch_runs import (
    FailingStore,
    TimedOutRunner,
    find_entry,
    make_dispatch,
    make_request,
    no_spark,
    run,
)
from tests.support.job_service import Clock, Service


def test_a_published_day_has_the_ledger_item_of_the_platform(source: Path, tmp_path: Path, clock: Clock) -> None:
    dispatch = make_dispatch(tmp_path, clock)
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


def test_8_a_ledger_that_is_down_prevents_publication(source: Path, tmp_path: Path, clock: Clock) -> None:
    run_local(input=source, output=tmp_path / "out")
    before = published_state(tmp_path / "out")
    down = FailingStore(SqliteStore(tmp_path / "ledger.sqlite"), lambda item: True)
    with pytest.raises(RetryableError, match="the ledger is down"):
        run(make_dispatch(tmp_path, clock, store=down), source, tmp_path)
    assert published_state(tmp_path / "out") == before


def test_8_a_ledger_that_fails_during_a_run_prevents_publication(source: Path, tmp_path: Path, clock: Clock) -> None:
    run_local(input=source, output=tmp_path / "out")
    before = read_tables(tmp_path / "out", day=None), published_state(tmp_path / "out")
    down = [False]
    store = FailingStore(SqliteStore(tmp_path / "ledger.sqlite"), lambda item: down[0])

    @dataclass
    class BreakingRunner:
        name: str = "local"

        def run(self, *arguments: Any, **named: Any) -> Any:
            result = LocalRunner().run(*arguments, **named)
            down[0] = True
            return result

    dispatch = make_dispatch(tmp_path, clock, store=store, local=BreakingRunner)
    with pytest.raises(RetryableError, match="the ledger is down"):
        run(dispatch, source, tmp_path)
    assert (read_tables(tmp_path / "out", day=None), published_state(tmp_path / "out")) == before
    down[0] = False
    with pytest.raises(LeaseHeldError):  # the end of the run was not recorded
        run(make_dispatch(tmp_path, clock, store=store), source, tmp_path)
    clock.now += timedelta(minutes=3)
    assert run(make_dispatch(tmp_path, clock, store=store), source, tmp_path).kind == "published"


def test_2_an_unrecorded_publication_is_repeated_without_duplicates(source: Path, tmp_path: Path, clock: Clock) -> None:
    store = FailingStore(SqliteStore(tmp_path / "ledger.sqlite"), lambda item: item["message_count"] is not None)
    with pytest.raises(RetryableError, match="the ledger is down"):
        run(make_dispatch(tmp_path, clock, store=store), source, tmp_path)
    published = read_tables(tmp_path / "out")
    assert published["messages"]
    clock.now += timedelta(minutes=3)
    assert run(make_dispatch(tmp_path, clock), source, tmp_path).kind == "published"
    assert read_tables(tmp_path / "out") == published


def test_8_a_lost_ledger_response_does_not_block_the_next_run(source: Path, tmp_path: Path, clock: Clock) -> None:
    faults = iter([True])
    store = FailingStore(SqliteStore(tmp_path / "ledger.sqlite"), lambda item: next(faults, False), after_write=True)
    with pytest.raises(RetryableError):
        run(make_dispatch(tmp_path, clock, store=store), source, tmp_path)
    clock.now += timedelta(minutes=3)
    assert run(make_dispatch(tmp_path, clock), source, tmp_path).kind == "published"


def test_tokens_continue_from_the_tables_if_the_ledger_is_lost(source: Path, tmp_path: Path, clock: Clock) -> None:
    for _ in range(3):
        run(make_dispatch(tmp_path, clock), source, tmp_path)
    (tmp_path / "ledger.sqlite").unlink()
    dispatch = make_dispatch(tmp_path, clock)
    assert run(dispatch, source, tmp_path).kind == "published"
    assert find_entry(dispatch).token == 4


def test_a_day_stays_published_if_the_ledger_response_is_lost(source: Path, tmp_path: Path, clock: Clock) -> None:
    completing = iter([True])
    store = FailingStore(
        SqliteStore(tmp_path / "ledger.sqlite"),
        lambda item: item["message_count"] is not None and next(completing, False),
        after_write=True,
    )
    dispatch = make_dispatch(tmp_path, clock, store=store)
    with pytest.raises(RetryableError, match="the response is lost"):
        run(dispatch, source, tmp_path)
    assert find_entry(dispatch).is_complete


# 11: late and corrected input


def test_11_a_completed_day_reruns_only_for_late_objects(source: Path, tmp_path: Path, clock: Clock) -> None:
    dispatch = make_dispatch(tmp_path, clock)
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


def test_11_overwritten_and_removed_objects_are_detected(source: Path, tmp_path: Path, clock: Clock) -> None:
    dispatch = make_dispatch(tmp_path, clock)
    run(dispatch, source, tmp_path)
    one, two = sorted((source / "acme/exports/messages/2025/08/12").iterdir())
    two.write_bytes(one.read_bytes())
    assert run(dispatch, source, tmp_path, if_changed=True).kind == "published"
    two.unlink()
    with pytest.raises(TerminalError, match="would lose rows"):
        run(dispatch, source, tmp_path, if_changed=True)
    allowed = replace(make_request(source, tmp_path / "out"), allow_shrink="alice")
    assert dispatch.run(allowed, progress=silent, if_changed=True).kind == "published"
    assert run(dispatch, source, tmp_path, if_changed=True).kind == "unchanged"


def test_an_unchanged_day_reruns_for_another_output_or_after_a_failure(
    source: Path, tmp_path: Path, clock: Clock
) -> None:
    dispatch = make_dispatch(tmp_path, clock)
    run(dispatch, source, tmp_path)
    other = dispatch.run(make_request(source, tmp_path / "other"), progress=silent, if_changed=True)
    assert other.kind == "published"
    with pytest.raises(HandOverError):
        run(make_dispatch(tmp_path, clock, local=TimedOutRunner, settings={"runner": "local"}), source, tmp_path)
    assert find_entry(dispatch).status == "FAILED"
    assert run(dispatch, source, tmp_path, if_changed=True).kind == "published"


# 17: a poisoned tenant


def test_17_a_poisoned_tenant_fails_alone_with_a_recorded_reason(source: Path, tmp_path: Path, clock: Clock) -> None:
    generate(messages=50, layout="export", seed=2, out=source, tenant="globex", files=1)
    for path in (source / "acme").rglob("*.gz"):
        path.write_bytes(b"{broken\n" * 50)
        path.rename(path.with_suffix(""))
    dispatch = make_dispatch(tmp_path, clock, settings={"max_reject_ratio": 0.5})
    with pytest.raises(TerminalError, match="rejected"):
        run(dispatch, source, tmp_path)
    assert dispatch.run(make_request(source, tmp_path / "out", tenant="globex"), progress=silent).kind == "published"
    failed = find_entry(dispatch)
    assert (failed.status, failed.lease_until) == ("FAILED", None)
    assert "max_reject_ratio" in str(failed.error)


# Escalation


def test_spark_publishes_a_day_that_is_too_long_for_this_process(
    source: Path, tmp_path: Path, clock: Clock, spark: Any
) -> None:
    dispatch = make_dispatch(tmp_path, clock, local=TimedOutRunner, spark=lambda: SparkRunner(spark))
    receipt = run(dispatch, source, tmp_path).receipt
    assert receipt is not None
    assert receipt.runner == "spark"
    entry = find_entry(dispatch)
    assert (entry.token, entry.attempts, entry.runner, entry.is_complete) == (1, 1, "spark", True)
    run_local(input=source, output=tmp_path / "expected")
    assert read_tables(tmp_path / "out") == read_tables(tmp_path / "expected")


def test_a_day_routed_to_spark_does_not_start_locally(source: Path, tmp_path: Path, clock: Clock) -> None:
    service = Service()
    dispatch = make_dispatch(
        tmp_path, clock, local=no_spark, submitter=service, reason_for_spark=lambda manifest: "too many messages"
    )
    result = run(dispatch, source, tmp_path)
    assert (result.kind, result.reason) == ("submitted", "too many messages")
    entry = find_entry(dispatch)
    assert (entry.status, entry.runner, entry.job_id) == ("SUBMITTED", "spark", result.job_id)
    assert not (tmp_path / "out/acme").exists()


def test_a_day_whose_hand_over_failed_goes_to_spark_directly(source: Path, tmp_path: Path, clock: Clock) -> None:
    service = Service(end="FAILED")
    dispatch = make_dispatch(tmp_path, clock, local=TimedOutRunner, submitter=service)
    run(dispatch, source, tmp_path)
    again = make_dispatch(tmp_path, clock, local=no_spark, submitter=service)
    assert run(again, source, tmp_path).kind == "submitted"
    assert len(service.jobs) == 2  # each attempt has its own job


def test_a_day_that_must_run_locally_fails_if_it_cannot(source: Path, tmp_path: Path, clock: Clock) -> None:
    dispatch = make_dispatch(tmp_path, clock, local=TimedOutRunner, settings={"runner": "local"})
    with pytest.raises(HandOverError, match="0 of 1 chunks"):
        run(dispatch, source, tmp_path)
    assert find_entry(dispatch).status == "FAILED"

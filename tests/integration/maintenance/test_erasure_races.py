"""Test erasure beside active runs, and after a kill at any step."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import deltalake
import pytest

from daily_batch.errors import LeaseHeldError, RetryableError, TerminalError, UsageError
from daily_batch.maintenance import erasure as erase_module
from daily_batch.maintenance import find_rows, truncate_history
from daily_batch.pipeline.publish import delta
from daily_batch.pipeline.publish.publisher import DayPublisher
from tests.support.day_runs import DAY, read_tables, silent
from tests.support.maintenance_days import (
    Clock,
    Publish,
    Tenant,
    file_contents,
    files_containing,
)

# The files of the first run belong only to an old version.
TWICE = (3, 2)


def test_run_holding_the_day_blocks_the_erasure_before_any_change(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source, buckets=TWICE)
    tenant.ledger.acquire("acme", DAY, owner="elsewhere:1:1", run_id="run9")
    before = list(file_contents(tenant.output))
    with pytest.raises(LeaseHeldError, match="run run9 of elsewhere:1:1 holds the lease"):
        tenant.erase("user", "user_1")
    assert list(file_contents(tenant.output)) == before


def test_erasure_blocks_new_runs_and_fences_suspended_runs(
    small_source: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = publish(small_source, buckets=TWICE)
    suspended = DayPublisher.snapshot(tenant.request(small_source), tenant.tables.storage)
    entry = tenant.ledger.find("acme", DAY)
    assert entry
    suspended = suspended.fenced(entry.token, write_now=False, confirm=lambda: None)
    refused = []
    original = erase_module.rewrite_day

    def run_during_erasure(*arguments: Any, **named: Any) -> Any:
        with pytest.raises(LeaseHeldError) as held:
            tenant.run(small_source)
        refused.append(str(held.value))
        return original(*arguments, **named)

    monkeypatch.setattr(erase_module, "rewrite_day", run_during_erasure)
    evidence = tenant.erase("user", "user_1")
    assert f"{evidence.erasure} of elsewhere:1:1 holds the lease" in refused[0]
    with pytest.raises(LeaseHeldError, match="the lease is lost"):
        suspended.publish(dict.fromkeys(("rejects",), ()), run_id="late", metadata={}, progress=silent)


def test_active_run_of_any_day_blocks_the_erasure(small_source: Path, publish: Publish) -> None:
    # The run may have read the user's objects before their deletion, and not have written yet.
    tenant = publish(small_source)
    tenant.ledger.acquire("acme", DAY + timedelta(days=1), owner="elsewhere:1:1", run_id="run9")
    with pytest.raises(LeaseHeldError, match="run run9 of elsewhere:1:1 holds the lease"):
        tenant.erasure("user", "user_1").plan()
    assert tenant.clock is not None
    tenant.clock.now += timedelta(days=1)  # the run has crashed
    assert len(tenant.erase("user", "user_1").days) == 1


def test_recent_manifest_naming_the_user_blocks_the_erasure(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source)
    manifest = tenant.root / "_staging/run1-abc/chunk-0.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text('[["acme/chat/user_1/r/messages/2025/08/12/x.json", 1, "", 0]]')
    with pytest.raises(LeaseHeldError, match="a job is reading objects of this user"):
        tenant.erase("user", "user_1")
    assert tenant.erasure("user", "user_10").plan().days != ()


def test_suspended_erasure_deletes_no_file_of_a_later_run(
    small_source: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = publish(small_source, buckets=TWICE)
    written = tenant.root / f"messages/date={DAY}/of-the-run.parquet"
    delete_old = erase_module.Erasure._delete_old

    def suspend(*arguments: Any) -> int:
        assert tenant.clock is not None
        tenant.clock.now += timedelta(hours=1)
        tenant.ledger.acquire("acme", DAY, owner="elsewhere:2:2", run_id="run9")
        written.write_bytes(b"no commit names it yet")
        return delete_old(*arguments)

    monkeypatch.setattr(erase_module.Erasure, "_delete_old", suspend)
    with pytest.raises(LeaseHeldError):
        tenant.erase("user", "user_1")
    assert written.exists()


def test_missing_data_file_fails_the_erasure_before_any_change(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source, buckets=(3,))
    missing = sorted((tenant.root / f"messages/date={DAY}").iterdir())[0]
    missing.unlink()
    before = list(file_contents(tenant.output))
    with pytest.raises(TerminalError, match=rf"{missing.name}' is missing, and the log of messages names it"):
        tenant.erase("user", "user_1")
    assert list(file_contents(tenant.output)) == before


def test_file_removed_during_the_search_is_a_retryable_error(
    small_source: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = publish(small_source, table_format="parquet")

    def fail(*_: object) -> Path:
        raise FileNotFoundError

    monkeypatch.setattr(find_rows, "download", fail)
    with pytest.raises(RetryableError, match="removed a file during the search"):
        tenant.erasure("user", "user_1").plan()


class Killed(BaseException):
    """Raised where a test kills the process."""


KILL_POINTS = [
    *(("save_evidence", call) for call in (1, 2, 3)),
    ("rewrite_day", 1),
    ("annotate_receipt", 1),
    *(("truncate_history", call) for call in (1, 3)),
]


@pytest.mark.parametrize(("step", "call"), KILL_POINTS, ids=[f"{step}-{call}" for step, call in KILL_POINTS])
def test_erasure_resumes_after_a_kill_at_any_step(
    small_source: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch, step: str, call: int
) -> None:
    _assert_resumes(_kill_at(publish(small_source), monkeypatch, erase_module, step, call))


@pytest.mark.parametrize("call", [1, 2, 3, 4, 5])
def test_erasure_resumes_after_a_kill_between_two_tables(
    small_source: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    _assert_resumes(_kill_at(publish(small_source), monkeypatch, delta, "publish_table", call))


@pytest.mark.parametrize("step", ["create_checkpoint", "delete_keys"])
def test_erasure_resumes_after_a_kill_during_history_truncation(
    small_source: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    target = truncate_history if step == "delete_keys" else deltalake.DeltaTable
    _assert_resumes(_kill_at(publish(small_source), monkeypatch, target, step, 2))


def _kill_at(tenant: Tenant, monkeypatch: pytest.MonkeyPatch, target: Any, step: str, call: int) -> Tenant:
    original, calls = getattr(target, step), iter(range(1, 1000))

    def die_at_call(*arguments: Any, **named: Any) -> Any:
        if next(calls) == call:
            raise Killed
        return original(*arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(target, step, die_at_call)
        # A killed process does not release its lease.
        patched.setattr(type(tenant.ledger), "release", _release_unless_killed(type(tenant.ledger).release))
        with pytest.raises(Killed):
            tenant.erase("user", "user_1")
    return tenant


def _release_unless_killed(original: Any) -> Any:
    def release(self: Any, lease: Any, **changes: Any) -> None:
        if changes:
            original(self, lease, **changes)

    return release


def _assert_resumes(tenant: Tenant) -> None:
    assert isinstance(tenant.clock, Clock)
    tenant.clock.now += timedelta(hours=1)
    evidence = tenant.erase("user", "user_1")
    assert files_containing(tenant.root, "user_1") == []
    assert len(list((tenant.root / "_erasures").iterdir())) == 1
    assert evidence.days[0].tables["messages"].removed == 6
    assert evidence.days[0].tables["rejects"].removed == 5
    found = read_tables(tenant.output)
    assert [row["messages"] for row in found["summary_daily"]] == [6] == [len(found["messages"])]
    entry = tenant.ledger.find("acme", DAY)
    assert entry and (entry.status, entry.message_count, entry.upkeep) == ("COMPLETED_WITH_REJECTS", 6, None)


def test_erasure_started_with_mentions_cannot_finish_without_them(
    small_source: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = publish(small_source)

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(erase_module, "rewrite_day", die)
        tenant.erase("user", "user_1", mentions=True)
    assert tenant.clock is not None
    tenant.clock.now += timedelta(hours=1)
    with pytest.raises(UsageError, match="was started with --mentions and has not finished"):
        tenant.erase("user", "user_1")
    assert tenant.erase("user", "user_1", mentions=True).with_mentions

"""Competing publications of one day: snapshots, lost responses and fencing tokens."""

from pathlib import Path

import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from daily_batch.domain.contract import ROOMS_DAILY
from daily_batch.errors import LeaseHeldError, RetryableError, TerminalError
from daily_batch.pipeline.publish import commit_retry, delta
from daily_batch.pipeline.publish.delta_log import DaySnapshot, app_id
from tests.support.data_files import DAY, NEXT_DAY, write_file
from tests.support.delta_tables import publish, read_rooms, take_snapshot

# Another run of the same day


def test_run_older_than_the_last_publication_is_refused(tmp_path):
    publish(tmp_path, write_file(tmp_path, "a.parquet"))
    snapshot = take_snapshot(tmp_path)
    publish(tmp_path, write_file(tmp_path, "b.parquet", rows=1), run="winner")
    with pytest.raises(RetryableError, match=r"tenant=acme day=2025-08-12: run winner"):
        publish(tmp_path, write_file(tmp_path, "c.parquet"), run="loser", snapshot=snapshot)
    assert read_rooms(tmp_path) == [(str(DAY), "room0")]


def test_two_runs_that_both_found_no_table_do_not_double_the_rows(tmp_path):
    snapshot = take_snapshot(tmp_path)
    publish(tmp_path, write_file(tmp_path, "a.parquet"), run="winner", snapshot=snapshot)
    with pytest.raises(RetryableError, match="winner"):
        publish(tmp_path, write_file(tmp_path, "b.parquet"), run="loser", snapshot=snapshot)
    assert len(read_rooms(tmp_path)) == 3


def test_run_that_emptied_an_empty_day_is_detected(tmp_path):
    publish(tmp_path, day=NEXT_DAY)
    snapshot = take_snapshot(tmp_path)
    publish(tmp_path, run="winner")
    with pytest.raises(RetryableError, match="winner"):
        publish(tmp_path, write_file(tmp_path, "b.parquet"), run="loser", snapshot=snapshot)


def test_day_changed_by_another_engine_is_detected(tmp_path):
    publish(tmp_path, write_file(tmp_path, "a.parquet"))
    snapshot = take_snapshot(tmp_path)
    DeltaTable(str(tmp_path)).delete("room_id = 'room0'")
    with pytest.raises(RetryableError, match="files of rooms_daily changed"):
        publish(tmp_path, write_file(tmp_path, "b.parquet"), run="loser", snapshot=snapshot)


def test_commit_of_another_day_in_between_does_not_matter(tmp_path):
    publish(tmp_path, write_file(tmp_path, "a.parquet"))
    snapshot = take_snapshot(tmp_path)
    publish(tmp_path, write_file(tmp_path, "a.parquet", day=NEXT_DAY), day=NEXT_DAY)
    assert publish(tmp_path, write_file(tmp_path, "b.parquet", rows=1), run="run2", snapshot=snapshot).version == 3
    assert len(read_rooms(tmp_path)) == 4


# Lost responses


@pytest.mark.parametrize("error", [CommitFailedError("version exists"), OSError("connection reset")], ids=repr)
def test_commit_whose_response_was_lost_is_applied_once(tmp_path, monkeypatch, error):
    commit, errors = delta._commit, iter([error])

    def lose_response(*args):
        version = commit(*args)
        if lost := next(errors, None):
            raise lost
        return version

    monkeypatch.setattr(delta, "_commit", lose_response)
    assert publish(tmp_path, write_file(tmp_path, "a.parquet")).version == 1
    assert DeltaTable(str(tmp_path)).version() == 1


def test_same_files_are_never_added_and_removed_in_one_commit(tmp_path):
    file = write_file(tmp_path, "a.parquet")
    assert publish(tmp_path, file) == publish(tmp_path, file)
    assert DeltaTable(str(tmp_path)).version() == 1


def test_commit_that_always_conflicts_raises_a_retryable_error(tmp_path, monkeypatch):
    def conflict(*_):
        raise CommitFailedError("version exists")

    monkeypatch.setattr(delta, "_commit", conflict)
    monkeypatch.setattr(commit_retry, "MAX_BACKOFF_SECONDS", 0)
    with pytest.raises(RetryableError, match=r"day=2025-08-12.*version exists.*run the day again"):
        publish(tmp_path, write_file(tmp_path, "a.parquet"))


def test_denied_access_is_a_terminal_error(tmp_path, monkeypatch):
    def deny(*_):
        raise OSError("Generic S3 error: 403 Forbidden: AccessDenied")

    monkeypatch.setattr(delta, "_commit", deny)
    with pytest.raises(TerminalError, match="denied"):
        publish(tmp_path, write_file(tmp_path, "a.parquet"))


# Fencing tokens


def test_token_that_is_not_greater_is_refused(tmp_path):
    publish(tmp_path, write_file(tmp_path, "a.parquet"), token=5)
    for token in (4, 5):
        with pytest.raises(LeaseHeldError, match="token 5"):
            publish(tmp_path, write_file(tmp_path, f"z{token}.parquet"), run="zombie", token=token)
    publish(tmp_path, write_file(tmp_path, "b.parquet", rows=1), run="run2", token=6)
    assert len(read_rooms(tmp_path)) == 1
    assert DeltaTable(str(tmp_path)).transaction_version(app_id(DAY)) == 6


def fence(folder: Path, token: int) -> DaySnapshot:
    fenced = delta.fence_table(
        table=ROOMS_DAILY, location=str(folder), storage_options={}, day=DAY, token=token, tenant="acme"
    )
    return fenced.snapshot


def test_fence_refuses_a_lower_token_before_any_publication(tmp_path):
    snapshot = take_snapshot(tmp_path)
    fence(tmp_path, 6)
    with pytest.raises(LeaseHeldError, match="token 6"):
        publish(tmp_path, write_file(tmp_path, "z.parquet"), run="zombie", token=5, snapshot=snapshot)
    assert read_rooms(tmp_path) == []


def test_fence_returns_the_snapshot_that_its_run_replaces(tmp_path):
    publish(tmp_path, write_file(tmp_path, "a.parquet"), run="zombie", token=5)
    snapshot = fence(tmp_path, 6)
    assert len(snapshot.files) == 1
    publish(tmp_path, write_file(tmp_path, "b.parquet", rows=1), run="run2", token=6, snapshot=snapshot, fenced=True)
    assert len(read_rooms(tmp_path)) == 1


def test_fence_is_written_once_and_never_lowered(tmp_path):
    version = fence(tmp_path, 6).version
    assert fence(tmp_path, 6).version == version
    with pytest.raises(LeaseHeldError, match="token 6"):
        fence(tmp_path, 5)


def test_each_day_has_its_own_token(tmp_path):
    publish(tmp_path, token=5)
    publish(tmp_path, day=NEXT_DAY, token=1)

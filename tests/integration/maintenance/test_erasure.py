"""Erase: the remaining files hold nothing of the subject, and equal those of a run without it."""

import gzip
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import deltalake
import duckdb
import polars
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from daily_batch.cli import app
from daily_batch.errors import LeaseHeldError, RetryableError, TerminalError, UsageError
from daily_batch.maintenance import erasure as erase_module
from daily_batch.maintenance import find_rows, truncate_history
from daily_batch.maintenance.subject import Subject
from daily_batch.pipeline.publish import delta
from daily_batch.pipeline.publish.publisher import DayPublisher
from tests.support.day_runs import DAY, read_tables, silent
from tests.support.maintenance_days import (
    HOSTILE,
    SECRET,
    Clock,
    Publish,
    Tenant,
    everything_in,
    files_naming,
    hostile_records,
    message,
    write_export,
    write_objects,
)

FORMATS = pytest.mark.parametrize("table_format", ["delta", "parquet"])


# The first run's files are named by an old version alone.
TWICE = (3, 2)
ERASED = ('o\'brien "x"', "50%_off", "佐藤 花子", "a\\u0062\\d.*", "user_1")


@FORMATS
def test_erased_user_is_in_no_file_and_other_rows_are_unchanged(
    tmp_path: Path, hostile_source: Path, publish: Publish, table_format: str
) -> None:
    tenant = publish(hostile_source, table_format=table_format, buckets=TWICE)
    remaining = dict.fromkeys(HOSTILE)
    for user in ERASED if table_format == "delta" else ERASED[:2]:
        assert files_naming(tenant.root, user) != []
        tenant.erase("user", user)
        del remaining[user]
        assert files_naming(tenant.root, user) == []
    for other in remaining:
        assert files_naming(tenant.root, other) != []
    alone = Tenant(tmp_path / "alone", table_format=table_format)
    alone.run(write_export(tmp_path / "without", hostile_records(tuple(remaining))))
    wanted, found = (read_tables(each.output, table_format=table_format) for each in (alone, tenant))
    for table in ("messages", "rooms_daily", "users_daily", "summary_daily"):
        assert _placeless(found[table]) == _placeless(wanted[table]), table
    assert sorted(row["reason"] for row in found["rejects"]) == sorted(row["reason"] for row in wanted["rejects"]) != []


def _placeless(rows: list[dict[str, Any]]) -> list[str]:
    """Without the line in the export, which has more lines with the subject."""
    return sorted(repr({name: value for name, value in row.items() if name != "source_line"}) for row in rows)


@FORMATS
def test_room_is_erased_with_the_messages_of_all_users(small_source: Path, publish: Publish, table_format: str) -> None:
    tenant = publish(small_source, table_format=table_format)
    before = read_tables(tenant.output, table_format=table_format)
    tenant.erase("room", "shared")
    found = read_tables(tenant.output, table_format=table_format)
    assert files_naming(tenant.root, "shared") == []
    assert found["messages"] == [row for row in before["messages"] if row["room_id"] != "shared"] != []
    assert found["rooms_daily"] == [row for row in before["rooms_daily"] if row["room_id"] != "shared"]
    assert found["summary_daily"][0]["messages"] == len(found["messages"])


def test_message_objects_match_by_key_and_by_conflicting_body(tmp_path: Path) -> None:
    users = ("carol", "dave", "佐藤 花子")
    tenant = Tenant(tmp_path / "out")
    tenant.run(write_objects(tmp_path / "in", users))
    assert len(read_tables(tenant.output)["rejects"]) == 3
    evidence = tenant.erase("user", "carol")
    assert files_naming(tenant.root, "carol") == []
    # Carol's two, and the one in Dave's folder whose body says that it is hers.
    assert [day.tables["messages"].removed for day in evidence.days] == [3]
    remaining = read_tables(tenant.output)
    assert {row["user_id"] for row in remaining["messages"]} == {"dave", "佐藤 花子"}
    assert {row["source_key"].split("/")[2] for row in remaining["rejects"]} == {"dave", "佐藤 花子"}


def test_every_reader_reads_the_remaining_rows(small_source: Path, publish: Publish, spark: Any) -> None:
    tenant = publish(small_source, buckets=TWICE)
    tenant.erase("user", "user_1")
    for table in ("messages", "rejects", "rooms_daily", "users_daily", "summary_daily"):
        place = str(tenant.root / table)
        rows = len(read_tables(tenant.output)[table])
        assert rows > 0
        assert deltalake.DeltaTable(place).to_pyarrow_table().num_rows == rows
        assert polars.read_delta(place).height == rows
        assert table != "messages" or spark.read.format("delta").load(place).count() == rows
        assert _count_by_duckdb(deltalake.DeltaTable(place).file_uris()) == rows
    protocol = deltalake.DeltaTable(str(tenant.root / "messages")).protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)


def _count_by_duckdb(files: list[str]) -> int:
    with duckdb.connect() as connection:
        ((count,),) = connection.execute("SELECT count(*) FROM read_parquet(?)", [files]).fetchall()
    return int(count)


def test_versions_older_than_the_evidence_names_are_unreadable(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source, buckets=TWICE)
    evidence = tenant.erase("user", "user_1")
    place = str(tenant.root / "messages")
    first = evidence.readable_from["messages"]
    assert deltalake.DeltaTable(place).version() == first
    with pytest.raises(Exception, match=r"."):
        deltalake.DeltaTable(place, version=first - 1).to_pyarrow_table()
    stored = json.loads((tenant.root / f"_erasures/{evidence.erasure}.json").read_text())
    assert (stored["state"], stored["kind"], stored["digest"]) == (
        "done",
        "user",
        Subject("acme", "user", "user_1").digest,
    )
    (day,) = stored["days"]
    assert day["tables"]["messages"] == {"removed": 6, "doubtful": 0, "remaining": 6, "version": first - 1}
    assert day["tables"]["rejects"]["removed"] == 5
    assert day["tables"]["users_daily"]["removed"] == 1
    assert (day["state"], len(day["runs"])) == ("done", 1)


def test_erasure_updates_the_message_count_and_annotates_the_receipt(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source)
    tenant.run(small_source)  # where it is now
    before = tenant.ledger.find("acme", DAY)
    evidence = tenant.erase("user", "user_1")
    after = tenant.ledger.find("acme", DAY)
    assert before and after
    changes = {"message_count": 6, "updated_at": after.updated_at, "token": before.token + 1, "owner": after.owner}
    assert after == replace(before, **changes)
    receipt = json.loads((tenant.output / str(after.receipt)).read_text())
    (note,) = receipt["erased"]
    assert note == {
        "erasure": evidence.erasure,
        "rows": {"messages": 6, "rejects": 5, "users_daily": 1},
    }
    assert receipt["records"]["written"] == 12
    # Its objects are the same, so the night leaves it alone; who runs it all the same has the rows again.
    answer = tenant.dispatch().run(tenant.request(small_source), progress=silent, if_changed=True)
    assert answer.kind == "unchanged"
    tenant.run(small_source)
    assert tenant.ledger.find("acme", DAY).message_count == 12  # type: ignore[union-attr]
    assert tenant.ledger.find("acme", DAY).token == before.token + 2  # type: ignore[union-attr]


def test_plan_changes_nothing_and_counts_the_rows_to_remove(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source, buckets=TWICE)
    before = dict(everything_in(tenant.output))
    planned = tenant.erasure("user", "user_1").plan()
    assert dict(everything_in(tenant.output)) == before
    removed = {name: table.removed for name, table in planned.days[0].tables.items()}
    assert removed == {"messages": 6, "rejects": 5, "users_daily": 1}
    done = tenant.erase("user", "user_1")
    assert {name: done.days[0].tables[name].removed for name in removed} == removed
    again = tenant.erasure("user", "user_1").plan()
    assert (again.days, again.state) == ((), "in progress")


def test_other_tenants_are_unchanged(tmp_path: Path, small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source, buckets=TWICE)
    other = Tenant(tenant.output, name="acme-2")
    other.run(write_export(tmp_path / "other", hostile_records(("user_1",)), tenant="acme-2"))
    before = list(everything_in(other.root))
    tenant.erase("user", "user_1")
    assert list(everything_in(other.root)) == before


def test_mentions_are_erased_only_if_requested(tmp_path: Path) -> None:
    records = [
        *hostile_records(("user_1", "user_10")),
        json.dumps({**_of("user_10", 1), "content": "ask user_1, not user_10"}),
        json.dumps({**_of("user_10", 2), "note": {"by": "user_1"}}),
    ]
    tenant = Tenant(tmp_path / "out")
    tenant.run(write_export(tmp_path / "in", records))
    assert tenant.erasure("user", "user_1").plan().mentions == 2
    evidence = tenant.erase("user", "user_1", mentions=True)
    assert (evidence.mentions, evidence.days[0].tables["messages"].removed) == (0, 8)
    assert files_naming(tenant.root, "user_1") == []
    assert len(read_tables(tenant.output)["messages"]) == 6


def _of(user: str, number: int) -> dict[str, Any]:
    return message(user, number, message_id=f"more-{number}")


# Races and crashes


def test_run_holding_the_day_blocks_the_erasure_before_any_change(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source, buckets=TWICE)
    tenant.ledger.acquire("acme", DAY, owner="elsewhere:1:1", run_id="run9")
    before = list(everything_in(tenant.output))
    with pytest.raises(LeaseHeldError, match="run run9 of elsewhere:1:1 holds the lease"):
        tenant.erase("user", "user_1")
    assert list(everything_in(tenant.output)) == before


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

    def meanwhile(*arguments: Any, **named: Any) -> Any:
        with pytest.raises(LeaseHeldError) as held:
            tenant.run(small_source)
        refused.append(str(held.value))
        return original(*arguments, **named)

    monkeypatch.setattr(erase_module, "rewrite_day", meanwhile)
    evidence = tenant.erase("user", "user_1")
    assert f"{evidence.erasure} of elsewhere:1:1 holds the lease" in refused[0]
    with pytest.raises(LeaseHeldError, match="the lease is lost"):
        suspended.publish(dict.fromkeys(("rejects",), ()), run_id="late", metadata={}, progress=silent)


def test_active_run_of_any_day_blocks_the_erasure(small_source: Path, publish: Publish) -> None:
    """It may have read the user's objects before they were deleted, and not have written yet."""
    tenant = publish(small_source)
    tenant.ledger.acquire("acme", DAY + timedelta(days=1), owner="elsewhere:1:1", run_id="run9")
    with pytest.raises(LeaseHeldError, match="run run9 of elsewhere:1:1 holds the lease"):
        tenant.erasure("user", "user_1").plan()
    assert tenant.clock is not None
    tenant.clock.now += timedelta(days=1)  # the run has crashed
    assert len(tenant.erase("user", "user_1").days) == 1


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
    lost = sorted((tenant.root / f"messages/date={DAY}").iterdir())[0]
    lost.unlink()
    before = list(everything_in(tenant.output))
    with pytest.raises(TerminalError, match=rf"{lost.name}' is missing, and the log of messages names it"):
        tenant.erase("user", "user_1")
    assert list(everything_in(tenant.output)) == before


def test_file_removed_during_the_search_is_a_retryable_error(
    small_source: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = publish(small_source, table_format="parquet")

    def gone(*_: object) -> Path:
        raise FileNotFoundError

    monkeypatch.setattr(find_rows, "download", gone)
    with pytest.raises(RetryableError, match="removed a file during the search"):
        tenant.erasure("user", "user_1").plan()


class Killed(BaseException):
    """The process is killed here."""


STEPS = [
    *(("save_evidence", call) for call in (1, 2, 3)),
    ("rewrite_day", 1),
    ("annotate_receipt", 1),
    *(("truncate_history", call) for call in (1, 3)),
]


@pytest.mark.parametrize(("step", "call"), STEPS, ids=[f"{step}-{call}" for step, call in STEPS])
def test_erasure_resumes_after_a_kill_at_any_step(
    small_source: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch, step: str, call: int
) -> None:
    _assert_resumes(_killed_at(publish(small_source), monkeypatch, erase_module, step, call))


@pytest.mark.parametrize("call", [1, 2, 3, 4, 5])
def test_erasure_resumes_after_a_kill_between_two_tables(
    small_source: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    _assert_resumes(_killed_at(publish(small_source), monkeypatch, delta, "publish_table", call))


@pytest.mark.parametrize("step", ["create_checkpoint", "delete_keys"])
def test_erasure_resumes_after_a_kill_during_history_truncation(
    small_source: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    target = truncate_history if step == "delete_keys" else deltalake.DeltaTable
    _assert_resumes(_killed_at(publish(small_source), monkeypatch, target, step, 2))


def _killed_at(tenant: Tenant, monkeypatch: pytest.MonkeyPatch, target: Any, step: str, call: int) -> Tenant:
    original, calls = getattr(target, step), iter(range(1, 1000))

    def dies(*arguments: Any, **named: Any) -> Any:
        if next(calls) == call:
            raise Killed
        return original(*arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(target, step, dies)
        # A killed process releases nothing.
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
    assert files_naming(tenant.root, "user_1") == []
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

    with monkeypatch.context() as dying, pytest.raises(Killed):
        dying.setattr(erase_module, "rewrite_day", die)
        tenant.erase("user", "user_1", mentions=True)
    assert tenant.clock is not None
    tenant.clock.now += timedelta(hours=1)
    with pytest.raises(UsageError, match="was started with --mentions and has not finished"):
        tenant.erase("user", "user_1")
    assert tenant.erase("user", "user_1", mentions=True).with_mentions


# The ledger


def test_leftovers_in_the_other_format_are_deleted_and_not_counted(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source, table_format="parquet")
    (whole,) = (tenant.root / f"messages/year={DAY:%Y}/month={DAY:%m}/day={DAY:%d}").iterdir()
    leftover = tenant.root / f"messages/date={DAY}/crashed.parquet"
    leftover.parent.mkdir()
    leftover.write_bytes(whole.read_bytes())
    tenant.erase("user", "user_1")
    assert files_naming(tenant.root, "user_1") == []
    assert not list(tenant.root.rglob("_delta_log"))
    entry = tenant.ledger.find("acme", DAY)
    assert entry and entry.message_count == len(read_tables(tenant.output, table_format="parquet")["messages"]) == 6


@pytest.mark.parametrize("user", ["josé", "\N{FOX FACE}", "o'bri\"en", "bob"])
def test_ledger_error_naming_the_user_is_redacted(small_source: Path, publish: Publish, user: str) -> None:
    tenant = publish(small_source)
    other = DAY + timedelta(days=1)
    lease = tenant.ledger.acquire("acme", other, owner="elsewhere:1:1", run_id="run9")
    key = f"acme/chat/{user}/r/messages/x.json"
    tenant.ledger.fail(lease, f"{key!a} cannot be read. Next step: allow it.", retryable=False)
    before = tenant.ledger.find("acme", other)
    tenant.erase("user", user)
    after = tenant.ledger.find("acme", other)
    assert before and after
    assert (after.status, after.error) == ("FAILED", "this error named the erased id and was removed")
    assert tenant.ledger.find("acme", DAY).error is None  # type: ignore[union-attr]


# Matching


@settings(max_examples=40, deadline=None)
@given(st.text(min_size=1, max_size=12).filter(lambda text: "\x00" not in text))
def test_id_matches_in_every_spelling_but_not_inside_a_longer_word(text: str) -> None:
    subject = Subject("acme", "user", text)
    for ascii_only in (True, False):
        body = json.dumps({"user_id": text, "n": 1}, ensure_ascii=ascii_only)
        for raw in (body.encode("utf-8", "replace"), body.encode("utf-16-le", "surrogatepass")):
            if text.encode("utf-8", "replace").decode() == text:
                match = subject.match_reject(key="acme/exports/x", line=1, detail="", raw=raw, truncated=False)
                assert match == "match"
        longer = json.dumps({"user_id": f"x{text}x"}, ensure_ascii=ascii_only)
        if not subject.is_named_in(f"x{text}x"):
            raw = longer.encode("utf-8", "replace")
            assert subject.match_reject(key="acme/exports/x", line=1, detail="", raw=raw, truncated=False) is None


def test_reject_with_inconclusive_bytes_is_doubtful() -> None:
    subject = Subject("acme", "user", "user_1")
    packed = gzip.compress(b'{"user_id": "other"}' * 2000)
    reject: dict[str, Any] = {"key": "acme/exports/x.gz", "detail": "", "truncated": True}
    assert subject.match_reject(line=0, raw=packed, **reject) is None
    assert subject.match_reject(line=0, raw=packed[:40] + b"\xff" * 20, **reject) == "doubtful"
    assert subject.match_reject(line=0, raw=gzip.compress(b'{"user_id": "user_1"}'), **reject) == "match"
    assert subject.match_reject(line=3, raw=b'{"content": "aaaaaa', **reject) == "doubtful"
    assert subject.match_reject(line=3, raw=b'{"user_id": "other", "content": "aaa', **reject) is None
    assert subject.match_reject(line=3, raw=b'{"a": [{"b": 1}], "user_id" : "o\\"r", "content": "aaa', **reject) is None
    for nested in (b'{"reply_to": {"user_id": "other"}, "content": "aaa', b'{"a": "user_id", "b": "x", "content": "a'):
        assert subject.match_reject(line=3, raw=nested, **reject) == "doubtful"
    assert subject.match_reject(line=3, raw=b'{"user_id": "us', **reject) == "doubtful"
    assert subject.match_reject(line=3, raw=b"{", key="acme/chat/other/r/messages/x", detail="", truncated=True) is None


@pytest.mark.parametrize("text", ["", "x" * 513, "a\x00b"])
def test_invalid_id_is_rejected(text: str) -> None:
    with pytest.raises(UsageError, match="no user can have this id"):
        Subject("acme", "user", text)


def test_digest_depends_on_tenant_kind_and_id_only() -> None:
    digest = Subject("acme", "user", "user_1").digest
    assert digest == Subject("acme", "user", "user_1", mentions=True).digest
    assert len({digest, Subject("acme", "room", "user_1").digest, Subject("globex", "user", "user_1").digest}) == 3


def test_erase_prints_neither_the_id_nor_content(
    tmp_path: Path, small_source: Path, publish: Publish, capfd: pytest.CaptureFixture[str]
) -> None:
    tenant = publish(small_source)
    capfd.readouterr()
    words = ["--tenant", "acme", "--output", str(tenant.output), "--input", str(small_source)]
    words += ["--ledger", str(tmp_path / "out.sqlite"), "--user", "user_1", "--confirm"]
    answer = CliRunner().invoke(app, ["erase", *words])
    assert answer.exit_code == 0
    assert "erased; evidence:" in answer.stdout
    beside = capfd.readouterr()  # what libraries write past Python's own streams
    shown = answer.output + beside.out + beside.err
    assert "user_1" not in shown
    assert SECRET not in shown


def test_truncated_file_of_a_crashed_run_is_deleted(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source)
    (whole,) = (tenant.root / f"messages/date={DAY}").iterdir()
    torn = whole.with_name("crashed.parquet")
    torn.write_bytes(whole.read_bytes()[:-100])
    evidence = tenant.erase("user", "user_1")
    assert not torn.exists()
    assert evidence.days[0].tables["messages"].doubtful == 0


def test_recent_manifest_naming_the_user_blocks_the_erasure(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source)
    manifest = tenant.root / "_staging/run1-abc/chunk-0.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text('[["acme/chat/user_1/r/messages/2025/08/12/x.json", 1, "", 0]]')
    with pytest.raises(LeaseHeldError, match="a job is reading objects of this user"):
        tenant.erase("user", "user_1")
    assert tenant.erasure("user", "user_10").plan().days != ()

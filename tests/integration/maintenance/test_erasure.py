"""Test erasure: no remaining file names the subject, and the other rows equal those of a run without it."""

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import deltalake
import duckdb
import polars
import pytest
from typer.testing import CliRunner

from daily_batch.cli import app
from tests.support.day_runs import DAY, read_tables, silent
from tests.support.maintenance_days import (
    HOSTILE,
    SECRET,
    Publish,
    Tenant,
    file_contents,
    files_containing,
    hostile_records,
    message,
    write_export,
    write_objects,
)

EACH_FORMAT = pytest.mark.parametrize("table_format", ["delta", "parquet"])
# The files of the first run belong only to an old version.
TWICE = (3, 2)
ERASED = ('o\'brien "x"', "50%_off", "佐藤 花子", "a\\u0062\\d.*", "user_1")


@EACH_FORMAT
def test_erased_user_is_in_no_file_and_other_rows_are_unchanged(
    tmp_path: Path, hostile_source: Path, publish: Publish, table_format: str
) -> None:
    tenant = publish(hostile_source, table_format=table_format, buckets=TWICE)
    remaining = dict.fromkeys(HOSTILE)
    for user in ERASED if table_format == "delta" else ERASED[:2]:
        assert files_containing(tenant.root, user) != []
        tenant.erase("user", user)
        del remaining[user]
        assert files_containing(tenant.root, user) == []
    for other in remaining:
        assert files_containing(tenant.root, other) != []
    alone = Tenant(tmp_path / "alone", table_format=table_format)
    alone.run(write_export(tmp_path / "without", hostile_records(tuple(remaining))))
    expected, actual = (read_tables(each.output, table_format=table_format) for each in (alone, tenant))
    for table in ("messages", "rooms_daily", "users_daily", "summary_daily"):
        assert _without_lines(actual[table]) == _without_lines(expected[table]), table
    actual_reasons, expected_reasons = (sorted(row["reason"] for row in each["rejects"]) for each in (actual, expected))
    assert actual_reasons == expected_reasons != []


def _without_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Return the rows without their line number, which the subject's own lines shift."""
    return sorted(repr({name: value for name, value in row.items() if name != "source_line"}) for row in rows)


@EACH_FORMAT
def test_room_is_erased_with_the_messages_of_all_users(small_source: Path, publish: Publish, table_format: str) -> None:
    tenant = publish(small_source, table_format=table_format)
    before = read_tables(tenant.output, table_format=table_format)
    tenant.erase("room", "shared")
    actual = read_tables(tenant.output, table_format=table_format)
    assert files_containing(tenant.root, "shared") == []
    assert actual["messages"] == [row for row in before["messages"] if row["room_id"] != "shared"] != []
    assert actual["rooms_daily"] == [row for row in before["rooms_daily"] if row["room_id"] != "shared"]
    assert actual["summary_daily"][0]["messages"] == len(actual["messages"])


def test_message_objects_match_by_key_and_by_conflicting_body(tmp_path: Path) -> None:
    users = ("carol", "dave", "佐藤 花子")
    tenant = Tenant(tmp_path / "out")
    tenant.run(write_objects(tmp_path / "in", users))
    assert len(read_tables(tenant.output)["rejects"]) == 3
    evidence = tenant.erase("user", "carol")
    assert files_containing(tenant.root, "carol") == []
    # Carol's two messages, and the one in Dave's folder whose body names her.
    assert [day.tables["messages"].removed for day in evidence.days] == [3]
    remaining = read_tables(tenant.output)
    assert {row["user_id"] for row in remaining["messages"]} == {"dave", "佐藤 花子"}
    assert {row["source_key"].split("/")[2] for row in remaining["rejects"]} == {"dave", "佐藤 花子"}


def test_every_reader_reads_the_remaining_rows(small_source: Path, publish: Publish, spark: Any) -> None:
    tenant = publish(small_source, buckets=TWICE)
    tenant.erase("user", "user_1")
    for table in ("messages", "rejects", "rooms_daily", "users_daily", "summary_daily"):
        location = str(tenant.root / table)
        rows = len(read_tables(tenant.output)[table])
        assert rows > 0
        assert deltalake.DeltaTable(location).to_pyarrow_table().num_rows == rows
        assert polars.read_delta(location).height == rows
        assert table != "messages" or spark.read.format("delta").load(location).count() == rows
        assert _count_by_duckdb(deltalake.DeltaTable(location).file_uris()) == rows
    protocol = deltalake.DeltaTable(str(tenant.root / "messages")).protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)


def _count_by_duckdb(files: list[str]) -> int:
    with duckdb.connect() as connection:
        ((count,),) = connection.execute("SELECT count(*) FROM read_parquet(?)", [files]).fetchall()
    return int(count)


def test_versions_older_than_the_evidence_names_are_unreadable(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source, buckets=TWICE)
    evidence = tenant.erase("user", "user_1")
    location = str(tenant.root / "messages")
    first = evidence.readable_from["messages"]
    assert deltalake.DeltaTable(location).version() == first
    with pytest.raises(Exception, match=r"."):
        deltalake.DeltaTable(location, version=first - 1).to_pyarrow_table()
    stored = json.loads((tenant.root / f"_erasures/{evidence.erasure}.json").read_text())
    assert (stored["state"], stored["kind"], stored["ids"]) == ("done", "user", 1)
    (day,) = stored["days"]
    assert day["tables"]["messages"] == {"removed": 6, "doubtful": 0, "remaining": 6, "version": first - 1}
    assert day["tables"]["rejects"]["removed"] == 5
    assert day["tables"]["users_daily"]["removed"] == 1
    assert (day["state"], len(day["runs"])) == ("done", 1)


def test_erasure_updates_the_message_count_and_annotates_the_receipt(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source)
    tenant.run(small_source)  # again, because the fixture's copy has another path
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
        "rows": {"messages": 6, "rejects": 5, "turns": 6, "users_daily": 1},
    }
    assert receipt["records"]["written"] == 12
    # The objects are unchanged, but not the list of erased ids: the nightly run runs the day once more.
    for outcome in ("published", "unchanged"):
        assert tenant.dispatch().run(tenant.request(small_source), progress=silent, if_changed=True).kind == outcome
    last = tenant.ledger.find("acme", DAY)
    assert last and (last.message_count, last.token) == (6, before.token + 2)


def test_erased_id_that_is_the_name_of_a_field_leaves_receipt_and_ledger(tmp_path: Path) -> None:
    names = {"user_1": 1, "user_10": 1}
    source = write_export(tmp_path / "in", [json.dumps(message("user_1", 1, **names)), json.dumps(message("other", 2))])
    day_before = write_export(
        tmp_path / "before",
        [json.dumps(message("other", 1)).replace("2025-08-12", "2025-08-11")],
        day=date(2025, 8, 11),
    )
    tenant = Tenant(tmp_path / "out")
    tenant.run(day_before, date(2025, 8, 11))
    tenant.run(source)
    before = tenant.ledger.find("acme", DAY)
    assert before and before.new_fields == ("user_1", "user_10")
    tenant.erase("user", "user_1")
    after = tenant.ledger.find("acme", DAY)
    assert after and (after.new_fields, after.unknown_fields) == (("user_10",), ("tokens_used", "user_10"))
    receipt = json.loads((tenant.output / str(after.receipt)).read_text())
    assert receipt["unknown_fields"] == {"tokens_used": 2, "user_10": 1}
    assert receipt["other_unknown_fields"] == 1
    assert files_containing(tmp_path / "out", "user_1") == []


def test_plan_changes_nothing_and_counts_the_rows_to_remove(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source, buckets=TWICE)
    before = dict(file_contents(tenant.output))
    planned = tenant.erasure("user", "user_1").plan()
    assert dict(file_contents(tenant.output)) == before
    removed = {name: table.removed for name, table in planned.days[0].tables.items()}
    assert removed == {"messages": 6, "rejects": 5, "turns": 6, "users_daily": 1}
    done = tenant.erase("user", "user_1")
    assert {name: done.days[0].tables[name].removed for name in removed} == removed
    again = tenant.erasure("user", "user_1").plan()
    assert (again.days, again.state) == ((), "in progress")


def test_other_tenants_are_unchanged(tmp_path: Path, small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source, buckets=TWICE)
    other = Tenant(tenant.output, name="acme-2")
    other.run(write_export(tmp_path / "other", hostile_records(("user_1",)), tenant="acme-2"))
    before = list(file_contents(other.root))
    tenant.erase("user", "user_1")
    assert list(file_contents(other.root)) == before


def test_mentions_are_erased_only_if_requested(tmp_path: Path) -> None:
    records = [
        *hostile_records(("user_1", "user_10")),
        json.dumps({**_further_message("user_10", 1), "content": "ask user_1, not user_10"}),
        json.dumps({**_further_message("user_10", 2), "note": {"by": "user_1"}}),
    ]
    tenant = Tenant(tmp_path / "out")
    tenant.run(write_export(tmp_path / "in", records))
    assert tenant.erasure("user", "user_1").plan().mentions == 2
    evidence = tenant.erase("user", "user_1", mentions=True)
    assert (evidence.mentions, evidence.days[0].tables["messages"].removed) == (0, 8)
    assert files_containing(tenant.root, "user_1") == []
    assert len(read_tables(tenant.output)["messages"]) == 6


def test_tenant_and_lineage_are_no_mention_of_a_user_with_the_tenants_id(tmp_path: Path) -> None:
    tenant = Tenant(tmp_path / "out")
    tenant.run(write_export(tmp_path / "in", hostile_records(("acme", "user_1"))))
    evidence = tenant.erase("user", "acme", mentions=True)
    assert evidence.days[0].tables["messages"].removed == 6
    remaining = read_tables(tenant.output)["messages"]
    assert {(row["tenant_id"], row["user_id"]) for row in remaining} == {("acme", "user_1")}
    assert len(remaining) == 6


def _further_message(user: str, number: int) -> dict[str, Any]:
    return message(user, number, message_id=f"more-{number}")


def test_leftovers_in_the_other_format_are_deleted_and_not_counted(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source, table_format="parquet")
    (complete,) = (tenant.root / f"messages/year={DAY:%Y}/month={DAY:%m}/day={DAY:%d}").iterdir()
    leftover = tenant.root / f"messages/date={DAY}/crashed.parquet"
    leftover.parent.mkdir()
    leftover.write_bytes(complete.read_bytes())
    tenant.erase("user", "user_1")
    assert files_containing(tenant.root, "user_1") == []
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


def test_erase_prints_neither_the_id_nor_content(
    tmp_path: Path, small_source: Path, publish: Publish, capfd: pytest.CaptureFixture[str]
) -> None:
    tenant = publish(small_source)
    capfd.readouterr()
    arguments = ["--tenant", "acme", "--output", str(tenant.output), "--input", str(small_source)]
    arguments += ["--ledger", str(tmp_path / "out.sqlite"), "--user", "user_1", "--confirm"]
    result = CliRunner().invoke(app, ["erase", *arguments])
    assert result.exit_code == 0
    assert "erased; evidence:" in result.stdout
    native = capfd.readouterr()  # what libraries write directly to the file descriptors
    printed = result.output + native.out + native.err
    assert "user_1" not in printed
    assert SECRET not in printed


def test_truncated_file_of_a_crashed_run_is_deleted(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source)
    (complete,) = (tenant.root / f"messages/date={DAY}").iterdir()
    truncated = complete.with_name("crashed.parquet")
    truncated.write_bytes(complete.read_bytes()[:-100])
    evidence = tenant.erase("user", "user_1")
    assert not truncated.exists()
    assert evidence.days[0].tables["messages"].doubtful == 0


def test_files_that_killed_writes_left_on_a_local_disk_are_deleted(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source)
    day = tenant.root / "messages" / f"date={DAY}"
    for folder in (day, tenant.root / "_staging/dead-run", tenant.root / "messages/date=2025-01-01"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "part.parquet#3").write_bytes(b"user_1 wrote this")
    assert len(files_containing(tenant.root, "user_1")) > 3
    tenant.erase("user", "user_1")
    assert files_containing(tenant.root, "user_1") == []
    assert list(tenant.root.rglob("*#3")) == []

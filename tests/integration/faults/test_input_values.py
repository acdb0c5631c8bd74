"""FAULTS 34 to 41: valid messages with unusual or conflicting content. Expectations are written by hand."""

import itertools
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.adversarial_day import EXPORT, ROOM, line, message, raw_line, run_export, run_object, run_objects
from tests.support.day_runs import read_tables

DAY_START, DAY_END = "2025-08-11T15:00:00Z", "2025-08-12T15:00:00Z"


def at(*args: int) -> datetime:
    return datetime(*args, tzinfo=UTC)  # type: ignore[arg-type,misc]


def test_34_overflowing_sum_is_null_only_at_its_own_level(tmp_path: Path) -> None:
    huge = 2**63 - 1
    bodies = [
        line(message_id="a", room_id="r1", user_id="u1", agent_info={"tokens_used": huge}),
        line(message_id="b", room_id="r2", user_id="u2", agent_info={"tokens_used": 1}),
    ]
    outcome = run_export(tmp_path, b"\n".join(bodies), buckets=5)
    tables = read_tables(tmp_path / "out")
    assert sorted(row["tokens_used"] for row in tables["rooms_daily"]) == [1, huge]
    assert sorted(row["tokens_used"] for row in tables["users_daily"]) == [1, huge]
    assert [row["tokens_used"] for row in tables["summary_daily"]] == [None]
    assert outcome.receipt.overflows == {"summary_daily": 1}


@pytest.mark.parametrize(
    ("sent", "instant", "flags"),
    [
        ("2025-08-12T01:02:03.123456789Z", at(2025, 8, 12, 1, 2, 3, 123456), []),
        ("2025-08-12T10:02:03+09:00", at(2025, 8, 12, 1, 2, 3), []),
        ("2025-08-12T10:02:03+0900", at(2025, 8, 12, 1, 2, 3), []),
        ("2025-08-11T20:32:03-0430", at(2025, 8, 12, 1, 2, 3), []),
        ("2025-08-12 01:02:03", at(2025, 8, 12, 1, 2, 3), ["naive_timestamp"]),
        ("2025-08-12T01:02:03.5", at(2025, 8, 12, 1, 2, 3, 500000), ["naive_timestamp"]),
        ("2025-08-12t01:02:03z", at(2025, 8, 12, 1, 2, 3), []),
        ("2025-08-12T01:02:60Z", at(2025, 8, 12, 1, 2, 59), ["leap_second"]),
        (1754960523, at(2025, 8, 12, 1, 2, 3), ["timestamp_format"]),
        (1754960523123, at(2025, 8, 12, 1, 2, 3, 123000), ["timestamp_format"]),
        (1754960523.25, at(2025, 8, 12, 1, 2, 3, 250000), ["timestamp_format"]),
        ("1754960523", at(2025, 8, 12, 1, 2, 3), ["timestamp_format"]),
        (1.754960523123e12, at(2025, 8, 12, 1, 2, 3, 123000), ["timestamp_format"]),
        ("1.754960523123E12", at(2025, 8, 12, 1, 2, 3, 123000), ["timestamp_format"]),
        (1754960523123456, at(2025, 8, 12, 1, 2, 3, 123456), ["timestamp_format"]),
        (1754960523123456789, at(2025, 8, 12, 1, 2, 3, 123456), ["timestamp_format"]),
        ("2025-08-12T01:02Z", at(2025, 8, 12, 1, 2), ["timestamp_format"]),
        ("2025-08-12 01:02", at(2025, 8, 12, 1, 2), ["naive_timestamp", "timestamp_format"]),
        ("2025-08-12 01:02:03.123 +0000", at(2025, 8, 12, 1, 2, 3, 123000), ["timestamp_format"]),
        ("2025-08-12 01:02:03 UTC", at(2025, 8, 12, 1, 2, 3), ["timestamp_format"]),
        ("2025-08-12 01:02:03 +0000 UTC", at(2025, 8, 12, 1, 2, 3), ["timestamp_format"]),
        ("2025-08-12T10:02:03+09:00[Asia/Tokyo]", at(2025, 8, 12, 1, 2, 3), ["timestamp_format"]),
        ("2025-08-12T01:02:03,123Z", at(2025, 8, 12, 1, 2, 3, 123000), ["timestamp_format"]),
        ("20250812T010203Z", at(2025, 8, 12, 1, 2, 3), ["timestamp_format"]),
        ("Tue, 12 Aug 2025 01:02:03 GMT", at(2025, 8, 12, 1, 2, 3), ["timestamp_format"]),
        ("/Date(1754960523123)/", at(2025, 8, 12, 1, 2, 3, 123000), ["timestamp_format"]),
    ],
)
def test_35_timestamps_are_parsed_or_repaired(
    tmp_path: Path, sent: object, instant: datetime, flags: list[str]
) -> None:
    row = run_export(tmp_path, line(timestamp=sent)).row
    assert (row["timestamp"], row["flags"], row["hour"]) == (instant, flags, 10)


@pytest.mark.parametrize(
    ("sent", "form"),
    [
        ("yesterday", "a text of another form (9 characters)"),
        ("", "an empty text"),
        ("0000-01-01T00:00:00Z", "no such day in the calendar"),
        ("2025-02-30T00:00:00Z", "no such day in the calendar"),
        ("2025-08-12", "a date without a time"),
        ("2025-08-12T24:00:00Z", "no such time of day"),
        ("2025-08-12T01:02:03+25:00", "an offset out of range"),
        ("2025-08-12T01:02:03[Asia/Tokyo]", "a name of a zone without an offset"),
        ("12-08-2025T01:02:03Z", "day and month in an ambiguous order (nn/nn/nnnn)"),
        (True, "a boolean"),
        ([1], "a list"),
        ({"a": 1}, "an object"),
        (10**20, "a number out of range"),
    ],
)
def test_35_unparsable_timestamp_is_rejected_with_its_form(tmp_path: Path, sent: object, form: str) -> None:
    body = line(timestamp=sent)
    (reject,) = run_export(tmp_path, body).rejects
    assert (reject["reason"], reject["raw"]) == ("invalid_timestamp", body)
    assert reject["detail"] == f"the timestamp cannot be read: {form}"


@pytest.mark.parametrize(
    "sent", ["9999-12-31T23:59:59Z", "1970-01-01T00:00:00Z", 0, "2024-08-12T01:02:03Z", "1e9", 10**15]
)
def test_35_timestamp_far_from_the_day_is_outside_the_window(tmp_path: Path, sent: object) -> None:
    assert run_export(tmp_path, line(timestamp=sent)).reasons == ["timestamp_outside_window"]


def test_35_missing_timestamp_comes_from_the_file_name(tmp_path: Path) -> None:
    for sent in (..., None):
        row = run_object(tmp_path / str(sent), line(timestamp=sent)).row
        assert (row["timestamp"], row["flags"]) == (at(2025, 8, 12, 1, 2, 3, 500000), ["timestamp_from_path"])
    assert run_export(tmp_path / "e", line(timestamp=...)).reasons == ["invalid_timestamp"]


def test_35_naive_timestamp_observes_daylight_saving_of_its_zone(tmp_path: Path) -> None:
    # New York's clocks go back at 06:00Z on 2025-11-02: 01:30 occurs twice, and the first occurrence is used.
    body = line(timestamp="2025-11-02T01:30:00")
    key = "acme/exports/messages/2025/11/02/a.jsonl"
    outcome = run_objects(
        tmp_path, {key: body}, day=date(2025, 11, 2), timezone="America/New_York", naive_timezone="America/New_York"
    )
    (row,) = read_tables(tmp_path / "out", day=date(2025, 11, 2))["messages"]
    assert outcome.receipt.records.written == 1
    assert (row["timestamp"], row["hour"]) == (at(2025, 11, 2, 5, 30), 1)


def test_36_record_around_midnight_is_published_once_in_its_own_day(tmp_path: Path) -> None:
    moments = ["2025-08-11T14:59:59.999Z", DAY_START, "2025-08-12T14:59:59.999Z", DAY_END]
    names = ["14-50-00.000Z", "14-59-59.999Z", "15-00-00.000Z", "15-10-00.000Z"]
    objects, expected = {}, {}
    for number, ((folder, name), moment) in enumerate(
        itertools.product(itertools.product(("2025/08/11", "2025/08/12"), names), moments)
    ):
        body = line(message_id=f"m{number}", timestamp=moment)
        objects[f"{ROOM}/{folder}/{name}-m{number}.json"] = body
        expected[f"m{number}"] = moment
    objects[f"{ROOM}/2025/08/11/14-55-00.000Z-bad.json"] = b"not json"
    days = {11: ("", DAY_START), 12: (DAY_START, DAY_END), 13: (DAY_END, "9")}
    published: list[str] = []
    rejected: list[bytes] = []
    for number, (first, end) in days.items():
        day = date(2025, 8, number)
        outcome = run_objects(tmp_path, objects, day=day)
        assert outcome.receipt.records.seen == outcome.receipt.objects.listed
        tables = read_tables(tmp_path / "out", day=day)
        for row in tables["messages"]:
            assert first <= expected[row["message_id"]] < end
            published.append(row["message_id"])
        rejected += [reject["raw"] for reject in tables["rejects"]]
    assert len(published) == len(set(published))
    assert len(published) + len(rejected) == len(objects)
    # A record a day away from its object's name is rejected by one day's run only, and so is text that is not JSON.
    assert rejected.count(b"not json") == 1


def test_37_ids_follow_their_precedence(tmp_path: Path) -> None:
    cases = {
        "a": (raw_line('"id": "b"', message_id="a"), "a", ["message_id_conflict"], '{"id":"b"}'),
        "b": (raw_line('"id": "b"', message_id=...), "b", ["message_id_from_alias"], None),
        "c": (raw_line('"id": "c"', message_id="c"), "c", [], None),
        "12": (line(message_id=12), "12", ["numeric_id"], None),
        "d": (raw_line('"id": ["x"]', message_id="d"), "d", [], '{"id":["x"]}'),
    }
    for name, (body, expected_id, flags, extras) in cases.items():
        row = run_export(tmp_path / name, body).row
        assert (row["message_id"], row["flags"], row["extras"]) == (expected_id, flags, extras)
    for name, body in {
        "list": line(message_id=["a"]),
        "none": line(message_id=...),
        "empty": line(message_id=""),
    }.items():
        assert run_export(tmp_path / name, body).reasons == ["invalid_id"]
    assert run_export(tmp_path / "long", line(message_id="x" * 513)).reasons == ["invalid_id"]
    assert run_export(tmp_path / "fits", line(message_id="日" * 512)).row["message_id"] == "日" * 512


def test_37_missing_ids_come_from_the_path(tmp_path: Path) -> None:
    row = run_object(tmp_path, line(message_id=..., user_id=..., room_id=...), name="01-02-03Z-from-path").row
    assert (row["message_id"], row["user_id"], row["room_id"]) == ("from-path", "u1", "r1")
    assert row["flags"] == ["message_id_from_path", "room_id_from_path", "user_id_from_path"]


def test_37_chat_id_is_an_alias_of_room_id(tmp_path: Path) -> None:
    row = run_export(tmp_path / "alias", raw_line('"chat_id": "c1"', room_id=...)).row
    assert (row["room_id"], row["flags"], row["extras"]) == ("c1", ["room_id_from_alias"], None)
    row = run_export(tmp_path / "both", raw_line('"chat_id": "c1"')).row
    assert (row["room_id"], row["flags"], row["extras"]) == ("r1", ["room_conflict"], '{"chat_id":"c1"}')


def test_37_message_without_a_user_is_published_and_counts_for_no_user(tmp_path: Path) -> None:
    bodies = [line(message_id=f"m{number}", user_id=sent) for number, sent in enumerate(("", None, ..., "u1"))]
    outcome = run_export(tmp_path, b"\n".join(bodies))
    assert [(row["user_id"], row["flags"]) for row in outcome.rows] == [(None, ["no_user"])] * 3 + [("u1", [])]
    tables = read_tables(tmp_path / "out")
    assert [(row["user_id"], row["messages"]) for row in tables["users_daily"]] == [("u1", 1)]
    assert [(row["messages"], row["unique_users"]) for row in tables["rooms_daily"]] == [(4, 1)]
    assert [(row["messages"], row["unique_users"]) for row in tables["summary_daily"]] == [(4, 1)]


def test_37_empty_user_in_the_messages_layout_comes_from_the_path(tmp_path: Path) -> None:
    row = run_object(tmp_path, line(user_id="")).row
    assert (row["user_id"], row["flags"], row["extras"]) == ("u1", ["user_id_from_path"], None)


def test_38_invalid_field_leaves_the_other_fields_intact(tmp_path: Path) -> None:
    body = line(role=7, content={"a": 1}, attachments="x", agent_info=[1], context=3)
    row = run_export(tmp_path, body).row
    assert (row["role"], row["content"], row["attachments"], row["message_id"]) == (None, None, None, "m1")
    assert row["flags"] == ["null_content", "unknown_role", "wrong_type"]
    assert json.loads(row["extras"]) == {
        "role": 7, "content": {"a": 1}, "attachments": "x", "agent_info": [1], "context": 3
    }  # fmt: skip


def test_38_invalid_element_leaves_the_other_elements_intact(tmp_path: Path) -> None:
    sent = [3, {"url": "a", "size": 5}, {"url": 1, "name": "n"}, {"url": "b", "new": True}]
    row = run_export(tmp_path, line(attachments=sent)).row
    empty = {"type": None, "url": None, "thumbnail": None, "name": None, "size": None}
    assert row["attachments"] == [{**empty, "url": "a", "size": 5}, {**empty, "name": "n"}, {**empty, "url": "b"}]
    assert (row["attachment_count"], row["has_attachments"], row["flags"]) == (3, True, ["bad_element"])
    assert json.loads(row["extras"]) == {"attachments": sent}


def test_38_aliased_arrays_are_read(tmp_path: Path) -> None:
    body = line(images=[{"url": "i"}], context={"rag_sources": [{"title": "t", "content": "c", "score": 0.5}]})
    row = run_export(tmp_path, body).row
    assert row["generated_images"][0]["url"] == "i"
    assert row["rag_sources"] == [{"title": "t", "source": None, "text": "c", "score": 0.5}]
    assert (row["flags"], row["extras"]) == (["aliased_field"], None)


@pytest.mark.parametrize(
    ("sent", "exact"),
    [
        *((sent, True) for sent in ("0.5", "0.1", "0.8234567642211914", "0.82340000000000002", "1e-7", "1e5", "-0")),
        *((sent, False) for sent in ("9007199254740993", "0.12345678901234567891", "1e-400")),
    ],
)
def test_38_score_beyond_double_precision_keeps_its_digits_in_extras(tmp_path: Path, sent: str, exact: bool) -> None:
    context = f'"context": {{"rag_sources": [{{"score": {sent}}}]}}'
    row = run_export(tmp_path, raw_line(context)).row
    assert row["rag_sources"] == [{"title": None, "source": None, "text": None, "score": float(sent)}]
    assert row["flags"] == ([] if exact else ["inexact_number"])
    assert row["extras"] == (None if exact else f'{{"context":{{"rag_sources":[{{"score":{sent}}}]}}}}')


def test_39_identical_records_are_one_row(tmp_path: Path) -> None:
    reordered = json.dumps(dict(reversed(message().items())), indent=1).encode()
    outcome = run_export(tmp_path, line(), line() + b"\n" + reordered)
    assert (outcome.receipt.records.duplicates, outcome.rejects) == (2, [])
    assert outcome.row["source_key"] == f"{EXPORT}/part-1.jsonl"


def test_39_latest_version_of_a_message_wins_in_any_order(tmp_path: Path) -> None:
    versions = [line(content=f"v{n}", timestamp=f"2025-08-12T01:00:0{n}Z") for n in range(3)]
    for number, order in enumerate(itertools.permutations(versions)):
        outcome = run_export(tmp_path / str(number), *order, buckets=1 + number % 3)
        assert outcome.row["content"] == "v2"
        assert sorted(reject["raw"] for reject in outcome.rejects) == versions[:2]
        assert outcome.reasons == ["superseded", "superseded"]
        assert outcome.receipt.records.superseded == 2


def test_39_duplicates_of_a_superseded_record_are_rejected_once(tmp_path: Path) -> None:
    old = line(content="old", timestamp="2025-08-12T01:00:00Z")
    outcome = run_export(tmp_path, b"\n".join([old, old, line()]))
    records = outcome.receipt.records
    assert (records.written, records.superseded, records.duplicates) == (1, 1, 1)


def test_40_unknown_field_of_any_type_goes_to_extras(tmp_path: Path) -> None:
    for number, value in enumerate([1, "1", None, [1, {"a": None}], {"b": 1.50}]):
        row = run_export(tmp_path / str(number), line(new_field=value)).row
        assert json.loads(row["extras"]) == {"new_field": value}
        assert row["flags"] == []


def test_40_unknown_field_may_change_its_type_between_runs(tmp_path: Path) -> None:
    for value in (1, "text", {"a": 1}):
        assert run_export(tmp_path, line(new_field=value)).receipt.status == "COMPLETED"


@pytest.mark.parametrize(
    ("fields", "role", "content", "flags"),
    [
        ({"content": None}, "user", None, ["null_content"]),
        ({"content": ...}, "user", None, ["null_content"]),
        ({"content": ""}, "user", "", ["empty_content"]),
        ({"role": "Tool"}, "tool", "hi", ["role_case", "unknown_role"]),
        ({"role": "SYSTEM"}, "system", "hi", ["role_case"]),
        ({"role": ...}, None, "hi", ["unknown_role"]),
    ],
)
def test_41_unusual_content_and_roles_are_published_with_flags(
    tmp_path: Path, fields: dict[str, Any], role: str | None, content: str | None, flags: list[str]
) -> None:
    row = run_export(tmp_path, line(**fields)).row
    assert (row["role"], row["content"], row["flags"]) == (role, content, flags)
    assert row["message_length"] == len(content or "")

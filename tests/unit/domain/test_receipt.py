"""Receipts: sums that must hold, the status, the JSON and the table for operators."""

import io
import json
from dataclasses import replace
from datetime import date

import msgspec
import pytest
from rich.console import Console

from daily_batch.cli.output import render_receipt
from daily_batch.domain.quality import CheckResult
from daily_batch.domain.receipt import (
    Objects,
    Receipt,
    Records,
    TableCounts,
    check_sums,
    decide_status,
    describe_unreadable,
    format_share,
    receipt_key,
    to_json,
)
from daily_batch.errors import TerminalError, UsageError

OBJECTS = Objects(listed=9, read=8, unreadable=1, bytes=123)
RECORDS = Records(seen=100, written=90, duplicates=4, superseded=1, rejected=3, other_day=1, empty=1)
RECEIPT = Receipt(
    tenant="acme",
    date="2025-08-12",
    run_id="run1",
    processed_at="2025-08-12T17:00:00.000000Z",
    status="COMPLETED_WITH_REJECTS",
    runner="spark",
    format="delta",
    layout="export",
    objects=OBJECTS,
    records=RECORDS,
    rejects={"invalid_json": 2, "invalid_id": 1},
    flags={"naive_timestamp": 5, "replaced_surrogate": 2},
    tables={
        "rejects": TableCounts(rows=7, files=1, bytes=99, version=4),
        "messages": TableCounts(rows=90, files=1, bytes=456, version=3),
    },
    seconds={"manifest": 0.1, "intake": 1.2, "total": 5.0},
    input="/データ/in",
    output="s3://bucket/[red]out",
    fingerprint="ab12",
    quality=(CheckResult(rule="max_unreadable", limit=0.01, measured=1 / 9, severity="warn", passed=False),),
)


def test_receipt_without_the_count_of_ignored_objects_is_read():
    values = json.loads(to_json(RECEIPT))
    del values["objects"]["ignored"]
    assert msgspec.json.decode(json.dumps(values), type=Receipt) == RECEIPT


def test_ignored_objects_are_part_of_the_sum():
    objects = replace(OBJECTS, listed=12, ignored=3)
    check_sums(replace(RECEIPT, objects=objects))
    assert objects.in_manifest == 9
    with pytest.raises(
        TerminalError, match=r"objects.listed is 9, but read 8 \+ unreadable 1 \+ ignored 3 \+ erased 0 is 12"
    ):
        check_sums(replace(RECEIPT, objects=replace(OBJECTS, ignored=3)))


def test_receipt_that_adds_up_passes():
    check_sums(RECEIPT)
    check_sums(replace(RECEIPT, tables={}))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"objects": replace(OBJECTS, read=9)}, "objects.listed is 9, but read 9"),
        ({"records": replace(RECORDS, seen=101)}, "records.seen is 101, but written 90"),
        ({"records": replace(RECORDS, empty=2)}, "records.seen"),
        ({"rejects": {"invalid_json": 2}}, "records.rejected is 3"),
        ({"rejects": {}}, "records.rejected is 3, but nothing is 0"),
        ({"tables": {"messages": TableCounts(rows=89, files=1, bytes=1, version=1)}}, "tables.messages.rows is 89"),
        ({"tables": {"rejects": TableCounts(rows=5, files=1, bytes=1, version=1)}}, "tables.rejects.rows is 5"),
        ({"flags": {}}, "tables.rejects.rows is 7"),
    ],
)
def test_failed_sum_is_named(changes, expected):
    with pytest.raises(TerminalError) as caught:
        check_sums(replace(RECEIPT, **changes))
    assert expected in str(caught.value)
    assert "tenant=acme day=2025-08-12" in str(caught.value)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("counter", ["written", "duplicates", "superseded", "rejected", "other_day", "empty", "erased"])
def test_check_sums_finds_one_lost_record_in_any_counter(counter):
    with pytest.raises(TerminalError, match=r"records\."):
        check_sums(replace(RECEIPT, records=replace(RECORDS, **{counter: getattr(RECORDS, counter) - 1})))


@pytest.mark.parametrize(
    ("objects", "records", "expected"),
    [
        ({}, {}, "COMPLETED"),
        ({"unreadable": 1}, {}, "COMPLETED_WITH_REJECTS"),
        ({}, {"rejected": 1}, "COMPLETED_WITH_REJECTS"),
        ({}, {"superseded": 1}, "COMPLETED"),
        ({}, {"duplicates": 5, "other_day": 5, "empty": 5}, "COMPLETED"),
    ],
)
def test_status_reflects_rejects(objects, records, expected):
    clean_objects = Objects(listed=0, read=0, unreadable=0, bytes=0)
    clean_records = Records(seen=0, written=0, duplicates=0, superseded=0, rejected=0, other_day=0, empty=0)
    status = decide_status(objects=replace(clean_objects, **objects), records=replace(clean_records, **records))
    assert status == expected


@pytest.mark.parametrize(
    ("unreadable", "objects", "text"),
    [
        (1, 8, "1 of 8 objects (12.5%) could not be read"),
        (1, 99_999, "1 of 99,999 objects (<0.1%) could not be read"),
        (4, None, "4 objects could not be read"),
    ],
)
def test_unreadable_objects_have_a_count_and_a_share(unreadable, objects, text):
    assert describe_unreadable(unreadable, objects) == text


@pytest.mark.parametrize(
    ("count", "whole", "share"),
    [(0, 0, "0.0%"), (0, 9, "0.0%"), (1, 8, "12.5%"), (44, 44_274, "0.1%"), (1, 99_999, "<0.1%")],
)
def test_share_is_zero_only_for_nothing(count, whole, share):
    assert format_share(count, whole) == share


def test_json_has_the_fixed_keys_in_the_fixed_order():
    text = to_json(RECEIPT)
    assert text.count("\n") == 1 and text.endswith("}\n")  # one line, which query engines read as a row
    values = json.loads(text)
    assert list(values) == [
        *(
            "tenant",
            "date",
            "run_id",
            "processed_at",
            "status",
            "runner",
            "format",
            "layout",
            "objects",
            "records",
            "rejects",
        ),
        *(
            "flags",
            "unknown_fields",
            "other_unknown_fields",
            "tables",
            "seconds",
            "input",
            "output",
            "fingerprint",
            "quality",
        ),
    ]
    assert list(values["objects"]) == ["listed", "read", "unreadable", "ignored", "erased", "bytes"]
    assert list(values["records"]) == [
        *("seen", "written", "duplicates", "superseded", "rejected", "other_day", "empty", "erased"),
    ]
    assert values["tables"]["messages"] == {"rows": 90, "files": 1, "bytes": 456, "version": 3}
    assert list(values["tables"]["messages"]) == ["rows", "files", "bytes", "version"]
    assert values["quality"] == [
        {"rule": "max_unreadable", "limit": 0.01, "measured": 1 / 9, "severity": "warn", "passed": False}
    ]
    assert values["rejects"] == {"invalid_json": 2, "invalid_id": 1}
    assert "/データ/in" in text


def test_receipt_key_is_below_the_tenants_analytics_folder():
    assert receipt_key("acme", date(2025, 8, 12), "run1") == "acme/analytics/_receipts/2025-08-12/run1.json"
    with pytest.raises(UsageError):
        receipt_key("../acme", date(2025, 8, 12), "run1")


def test_rendered_receipt_shows_the_most_frequent_unknown_fields() -> None:
    out = io.StringIO()
    fields = {f"field_{number}": 9 - number for number in range(7)}
    Console(file=out, width=120).print(render_receipt(replace(RECEIPT, unknown_fields=fields)))
    text = " ".join(out.getvalue().replace("\u00a0", " ").split())
    assert "fields field_0 9 field_1 8 field_2 7 field_3 6 field_4 5 and 2 more fields; --json has all" in text


@pytest.mark.parametrize("width", [60, 120])
def test_rendered_receipt_shows_every_count_and_escapes_markup(width):
    out = io.StringIO()
    empty = replace(RECEIPT.tables["messages"], version=None)
    Console(file=out, width=width).print(
        render_receipt(replace(RECEIPT, tables={**RECEIPT.tables, "rooms_daily": empty}))
    )
    text = " ".join(out.getvalue().replace("\u00a0", " ").split())
    for part in ("COMPLETED_WITH_REJECTS", "acme 2025-08-12", "duplicates 4", "invalid_json 2", "naive_timestamp 5"):
        assert part in text
    assert "[red]out" in text
    assert "messages 90 1 456 3" in text
    assert "rooms_daily 90 1 456 -" in text
    assert "quality max_unreadable 0.1111, at most 0.01" in text

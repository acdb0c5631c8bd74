"""Compare what was published with what the oracle expects, row by row."""

from collections import Counter
from datetime import date, datetime
from typing import Any

from daily_batch.domain.receipt import Receipt
from tests.oracle.day import Expected
from tests.oracle.json_text import MAX_DEPTH, deep_values, read_value
from tests.oracle.totals import aggregate

Tables = dict[str, list[dict[str, Any]]]


@deep_values()
def assert_agrees(expected: Expected, tables: Tables, receipt: Receipt, *, day: date) -> None:
    """Assert that all rows, rejects, counts and aggregates agree.

    `tables` lack the columns that differ between runs. Extras are compared as JSON in the order of the body, numbers
    by their digits.
    """
    records = vars(receipt.records)
    assert records == {name: expected.records[name] for name in records}
    objects = {name: count for name, count in vars(receipt.objects).items() if name != "bytes"}
    assert objects == {name: expected.objects[name] for name in objects}
    assert receipt.rejects == dict(expected.reasons)
    assert receipt.flags == dict(expected.flags)
    assert (receipt.unknown_fields, receipt.other_unknown_fields) == expected.unknown_fields
    assert Counter(map(reject_of, tables["rejects"])) == expected.rejects
    assert _by_location(map(_with_read_extras, tables["messages"])) == _by_location(expected.rows)
    assert {(row["date"], row["tenant_id"]) for row in tables["rejects"]} <= {(day, expected.tenant)}
    for name, rows in aggregate(expected.rows).items():
        expected_rows = [{"date": day, "tenant_id": expected.tenant, **row} for row in rows]
        assert _sorted_texts(tables[name]) == _sorted_texts(expected_rows), name


def reject_of(row: dict[str, Any]) -> tuple[str, int, str, bytes, bool]:
    return row["source_key"], row["source_line"], row["reason"], row["raw"], row["raw_truncated"]


def _with_read_extras(row: dict[str, Any]) -> dict[str, Any]:
    if row["extras"] is None:
        return row
    found = read_value(row["extras"], 0, MAX_DEPTH)
    assert found.end == len(row["extras"])
    return {**row, "extras": found.value}


def _by_location(rows: Any) -> dict[tuple[Any, ...], str]:
    return {(row["source_key"], row["source_line"], row["room_id"], row["message_id"]): as_text(row) for row in rows}


def _sorted_texts(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(map(as_text, rows))


def as_text(row: dict[str, Any]) -> str:
    """Return a row as text, so that 1 and True, or 0.0 and -0.0, differ; timestamps are compared as instants."""
    return repr(
        sorted((name, value.timestamp() if isinstance(value, datetime) else value) for name, value in row.items())
    )

"""Turns and response times against plain Python."""

import random
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet
from hypothesis import given, settings
from hypothesis import strategies as st

from daily_batch.domain.contract import TURNS
from daily_batch.pipeline.transform.response_times import RESPONSES_OF_ROOMS, summarize_responses
from daily_batch.pipeline.transform.turns import MESSAGE_ORDER, create_turns
from daily_batch.pipeline.transform.write import RUN_COLUMNS
from tests.oracle.compare import as_text
from tests.oracle.totals import turns

START = datetime(2025, 8, 12, tzinfo=UTC)
ROLES = ("user", "assistant", "system", None)
MESSAGES = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.sampled_from(ROLES), st.sampled_from(["u", "v", None])),
    max_size=30,
)


def make_rows(messages: list[tuple[str, int, str | None, str | None]]) -> list[dict[str, Any]]:
    return [
        {
            "room_id": room,
            "user_id": user,
            "timestamp": START + timedelta(microseconds=700 * step),
            "message_id": f"m{number}",
            "role": role,
            "message_length": number,
            "tokens_used": number if number % 3 else None,
            "agent_mode": "chat" if number % 2 else None,
        }
        for number, (room, step, role, user) in enumerate(messages)
    ]


def find_turns(connection: duckdb.DuckDBPyConnection, messages: str) -> list[dict[str, Any]]:
    create_turns(connection, messages)
    found = connection.sql("FROM turns").to_arrow_table()
    connection.execute("DROP TABLE turns")
    assert found.column_names == [name for name in TURNS.names if name not in RUN_COLUMNS]
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows


def open_database() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    return connection


SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("room_id", "user_id")),
        ("timestamp", pa.timestamp("us", "UTC")),
        *((name, pa.string()) for name in ("message_id", "role")),
        *((name, pa.int64()) for name in ("message_length", "tokens_used")),
        ("agent_mode", pa.string()),
    ]
)


@settings(deadline=None)
@given(MESSAGES)
def test_turns_are_those_of_plain_python(messages: list[tuple[str, int, str | None, str | None]]) -> None:
    rows = make_rows(messages)
    with open_database() as connection:
        connection.register("given", pa.Table.from_pylist(rows, SCHEMA))
        found = find_turns(connection, f"FROM given ORDER BY {MESSAGE_ORDER}")
    assert sorted(map(as_text, found)) == sorted(map(as_text, turns(rows)))


def test_turns_are_found_across_the_row_groups_of_a_sorted_file(tmp_path: Path) -> None:
    chance = random.Random(7)
    drawn = [(f"room{chance.randrange(40)}", chance.randrange(10**6), chance.choice(ROLES), "u") for _ in range(20_000)]
    rows = make_rows(drawn)
    rows.sort(key=lambda row: (row["room_id"], row["timestamp"], row["message_id"]))
    pa.parquet.write_table(pa.Table.from_pylist(rows, SCHEMA), tmp_path / "messages.parquet", row_group_size=2048)
    with open_database() as connection:
        found = find_turns(connection, f"FROM read_parquet('{tmp_path}/messages.parquet')")
    assert sorted(map(as_text, found)) == sorted(map(as_text, turns(rows)))
    assert [(row["room_id"], row["turn"]) for row in found] == sorted((row["room_id"], row["turn"]) for row in found)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), max_size=200))
def test_percentiles_are_values_at_the_nearest_rank(values: list[tuple[str, int]]) -> None:
    with open_database() as connection:
        connection.execute("CREATE TABLE given (user_id VARCHAR, response_ms BIGINT)")
        if values:
            connection.executemany("INSERT INTO given VALUES (?, ?)", values)
        summarize_responses(connection, "FROM given", by="user_id", name="found")
        found = connection.execute("FROM found ORDER BY user_id").fetchall()
        connection.execute("CREATE VIEW turns AS SELECT user_id AS room_id, response_ms FROM given")
        of_rooms = connection.execute(f"FROM ({RESPONSES_OF_ROOMS}) ORDER BY room_id").fetchall()
    expected = []
    for user in sorted({user for user, _ in values}):
        waits = sorted(wait for name, wait in values if name == user)
        median, p95 = (waits[ceil(share * len(waits)) - 1] for share in (Fraction(1, 2), Fraction(95, 100)))
        expected.append((user, len(waits), median, p95))
    assert found == of_rooms == expected

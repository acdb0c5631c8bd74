"""A day's aggregates are the same in any number of parts, and those of plain Python."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from daily_batch.pipeline.transform.aggregate import save_partials
from daily_batch.pipeline.transform.fields import MAX_BIGINT
from daily_batch.pipeline.transform.merge_parts import (
    Files,
    MergedPart,
    group_by_name,
    merge_aggregates,
    merge_part,
    summarize_day,
)
from tests.support.run_specs import sample_spec

# A message: its room, user, role, tokens, and the time until its answer, if it has a user's role and one.
Message = tuple[int, str | None, str | None, int, int | None]
MESSAGES = st.lists(
    st.tuples(
        st.integers(0, 7),
        st.sampled_from(["u", "v", "w", "x", None]),
        st.sampled_from(["user", "assistant", "tool", None]),
        st.integers(0, 9) | st.just(MAX_BIGINT // 2),
        st.none() | st.integers(0, 20),
    ),
    max_size=60,
)
SPEC = sample_spec()
KEPT = pa.schema(
    [
        ("room_id", pa.string()),
        ("user_id", pa.string()),
        ("role", pa.string()),
        ("timestamp", pa.timestamp("us", "UTC")),
        ("hour", pa.int32()),
        ("message_length", pa.int64()),
        ("attachment_count", pa.int32()),
        ("tokens_used", pa.int64()),
    ]
)
TURNS = pa.schema([("room_id", pa.string()), ("user_id", pa.string()), ("response_ms", pa.int64())])


class FolderStore:
    """Keep what is stored below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, path: str, file: Path) -> None:
        """Copy the file."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())

    def rows(self, files: Files, table: str) -> list[dict[str, Any]]:
        """Return the rows of a table's files, each of which is sorted."""
        found: list[dict[str, Any]] = []
        for file in files[table]:
            rows = duckdb.sql(f"FROM '{self.folder}/acme/analytics/{table}/{file.path}'").to_arrow_table().to_pylist()
            keys = [row[table.removesuffix("s_daily") + "_id"] for row in rows if table != "summary_daily"]
            assert keys == sorted(keys)
            found += rows
        return sorted(found, key=lambda row: json.dumps(row, default=str, sort_keys=True))


def save_buckets(messages: list[Message], folder: Path, *, buckets: int, parts: int) -> Iterator[list[dict[str, Path]]]:
    """Save the partial aggregates of each bucket of whole rooms."""
    for bucket in range(buckets):
        chosen = [(number, each) for number, each in enumerate(messages) if each[0] % buckets == bucket]
        kept = [
            {
                "room_id": f"r{room}",
                "user_id": user,
                "role": role,
                "timestamp": SPEC.start_us + number,
                "hour": number % 24,
                "message_length": number,
                "attachment_count": number % 2,
                "tokens_used": tokens or None,
            }
            for number, (room, user, role, tokens, _) in chosen
        ]
        turns = [
            {"room_id": f"r{room}", "user_id": user, "response_ms": wait}
            for _, (room, user, role, _, wait) in chosen
            if role == "user"
        ]
        with duckdb.connect(config={"threads": 1}) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.register("kept", pa.Table.from_pylist(kept, KEPT))
            connection.register("turns", pa.Table.from_pylist(turns, TURNS))
            yield save_partials(connection, folder, bucket=bucket, parts=parts)


def aggregate(messages: list[Message], folder: Path, *, buckets: int, parts: int) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of the aggregate tables of a day in so many buckets and parts."""
    folder.mkdir()
    spec, store = replace(SPEC, merges=parts), FolderStore(folder / "out")
    saved = list(save_buckets(messages, folder, buckets=buckets, parts=parts))
    if parts == 1:
        partials = group_by_name(part for bucket in saved for part in bucket)
        files = merge_aggregates(partials, spec=spec, output=store, scratch=folder)
    else:
        merged: list[MergedPart] = []
        for number, part in enumerate(zip(*saved, strict=True)):
            scratch = folder / f"part-{number}"
            scratch.mkdir()
            partials = group_by_name(part)
            merged.append(merge_part(partials, name=f"{number}", spec=spec, output=store, scratch=scratch))
        sums = group_by_name(part.sums for part in merged)
        files = summarize_day(sums, spec=spec, output=store, scratch=folder)
        for table in ("rooms_daily", "users_daily"):
            files[table] = tuple(file for part in merged for file in part.files[table])
    return {table: store.rows(files, table) for table in ("rooms_daily", "users_daily", "summary_daily")}


@settings(deadline=None, max_examples=25)
@given(MESSAGES, st.integers(1, 4), st.integers(2, 5))
def test_any_number_of_parts_gives_the_same_aggregates(messages: list[Message], buckets: int, parts: int) -> None:
    with TemporaryDirectory() as folder:
        one = aggregate(messages, Path(folder) / "one", buckets=buckets, parts=1)
        several = aggregate(messages, Path(folder) / "several", buckets=buckets, parts=parts)
    assert several == one
    (summary,) = one["summary_daily"]
    waits = sorted(wait for _, _, role, _, wait in messages if role == "user" and wait is not None)
    ranks = [ceil(share * len(waits)) - 1 for share in (Fraction(1, 2), Fraction(95, 100))]
    percentiles = [waits[rank] if waits else None for rank in ranks]
    assert [summary["answers"], summary["response_median_ms"], summary["response_p95_ms"]] == [len(waits), *percentiles]
    rooms_of_users = defaultdict(set)
    for room, user, *_ in messages:
        rooms_of_users[user].add(room)
    rooms_of_users.pop(None, None)
    assert summary["unique_users"] == len(rooms_of_users)
    assert {row["user_id"]: row["unique_rooms"] for row in one["users_daily"]} == {
        user: len(rooms) for user, rooms in rooms_of_users.items()
    }
    tokens = sum(message[3] for message in messages)
    assert summary["tokens_used"] == (tokens if tokens <= MAX_BIGINT else None)
    assert (summary["messages"], sum(summary["messages_by_hour"])) == (len(messages), len(messages))


def test_empty_day_has_a_summary_of_zeros_in_any_number_of_parts(tmp_path: Path) -> None:
    for parts in (1, 3):
        tables = aggregate([], tmp_path / f"{parts}", buckets=1, parts=parts)
        assert tables["rooms_daily"] == tables["users_daily"] == []
        (summary,) = tables["summary_daily"]
        assert (summary["messages"], summary["unique_users"], summary["answers"]) == (0, 0, 0)
        assert (summary["average_length"], summary["response_median_ms"]) == (None, None)


def test_a_user_is_in_one_part(tmp_path: Path) -> None:
    messages: list[Message] = [(number, f"user {number % 40}", "user", 1, number) for number in range(200)]
    places = defaultdict(set)
    for bucket in save_buckets(messages, tmp_path, buckets=3, parts=4):
        for part, files in enumerate(bucket):
            for name in ("users", "responses"):
                for (user,) in duckdb.sql(f"SELECT DISTINCT user_id FROM '{files[name]}'").fetchall():
                    places[user].add(part)
    assert len(places) == 40
    assert {len(parts) for parts in places.values()} == {1}
    assert len(set.union(*places.values())) == 4

"""The tables are the same however a day is split into objects, chunks and buckets."""

import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from daily_batch.domain.contract import TABLES
from daily_batch.pipeline.discover import discover
from tests.support.adversarial_day import EXPORT, line, packed
from tests.support.day_runs import read_tables, run_local

ROOMS = [f"r{number}" for number in range(5)]
# More than a receipt names.
FIELDS = ["a-b", "", "日本語", *(f"field_{number}" for number in range(60))]


def _make_bodies(rng: random.Random) -> list[bytes]:
    """Return a messy day: edits, duplicates, broken lines; timestamps are unique, so that one order is right."""
    bodies = []
    for number in range(rng.randint(5, 60)):
        room = rng.choice(ROOMS)
        minute, second = divmod(number, 60)
        sent = line(
            message_id=f"m{rng.randint(0, 30)}",
            room_id=room,
            user_id=f"u{rng.randint(0, 3)}",
            timestamp=f"2025-08-12T0{rng.randint(0, 9)}:{minute:02d}:{second:02d}.{number:03d}Z",
            content=rng.choice(["a", "b", "", "日本語"]),
            role=rng.choice(["user", "assistant", "Tool"]),
            **dict.fromkeys(rng.sample(FIELDS, rng.choice([0, 0, 1, 40])), number),
        )
        bodies += [sent] * rng.choice([1, 1, 1, 2])
        if rng.random() < 0.1:
            bodies.append(rng.choice([b"{broken}", b"42", b"{}", line(timestamp="never"), line(content="\\ud800")]))
    return bodies


def _run_split(bodies: list[bytes], rng: random.Random, folder: Path) -> tuple[dict[str, list[dict[str, Any]]], Any]:
    source = folder / "in" / EXPORT
    source.mkdir(parents=True)
    shuffled = rng.sample(bodies, len(bodies))
    files = rng.randint(1, 6)
    for number in range(files):
        text = b"\n".join(shuffled[number::files]) + rng.choice([b"", b"\n", b"\r\n"])
        (source / f"part-{number}").write_bytes(rng.choice([text, packed(text)]))
    with patch.object(discover, "CHUNK_OBJECTS", rng.randint(1, 3)):
        receipt = run_local(input=folder / "in", output=folder / "out", buckets=rng.randint(1, 7))
    tables = read_tables(folder / "out")
    for rows in tables.values():
        for row in rows:
            for name in ("source_key", "source_line"):
                row.pop(name, None)
    return tables, receipt


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32))
def test_any_split_gives_the_same_tables(seed: int) -> None:
    bodies = _make_bodies(random.Random(seed))
    outcomes = []
    for attempt in range(3):
        with tempfile.TemporaryDirectory() as folder:
            outcomes.append(_run_split(bodies, random.Random(f"{seed}-{attempt}"), Path(folder)))
    first, receipt = outcomes[0]
    unknown_fields = receipt.unknown_fields, receipt.other_unknown_fields
    for tables, other in outcomes[1:]:
        assert other.records == receipt.records
        assert other.flags == receipt.flags
        assert (other.unknown_fields, other.other_unknown_fields) == unknown_fields
        for table in TABLES:
            assert _count_rows(tables[table.name]) == _count_rows(first[table.name]), table.name


def _count_rows(rows: list[dict[str, Any]]) -> Counter[str]:
    return Counter(map(repr, rows))

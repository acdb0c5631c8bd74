"""Measure what erased ids cost the map: CPU microseconds per message of an export with another user in each message."""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

from obstore.store import LocalStore

from bench.measure import machine, save_figures
from daily_batch.domain.calendar import day_window
from daily_batch.domain.erased import ErasedIds, digest_id
from daily_batch.domain.run import Limits, RunSpec, SourceObject
from daily_batch.pipeline.transform.duckdb_session import connect
from daily_batch.pipeline.transform.map_chunk import map_chunk

DAY = date(2025, 8, 12)
KEY = "0" * 32
TARGET = 1


def main(arguments: list[str] | None = None) -> None:
    """Map the same export in turn without and with erased ids, and print the difference."""
    parser = argparse.ArgumentParser(prog="python -m bench.erased", description=__doc__)
    parser.add_argument("--messages", type=int, default=200_000, help="messages, each of another user")
    parser.add_argument("--ids", type=int, default=100_000, help="erased ids; one in a thousand messages is of one")
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args(arguments)
    every = options.messages // 1000
    ids = [f"user_{n * 1000 if n < every else n + options.messages:012d}" for n in range(options.ids)]
    erased = ErasedIds(key=KEY, users=frozenset(digest_id(KEY, "user", each) for each in ids))
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "acme/exports/messages/2025/08/12/part-0.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("".join(f"{_message(n)}\n" for n in range(options.messages)))
        pairs = [(_measure(Path(name), ErasedIds()), _measure(Path(name), erased)) for _ in range(options.pairs)]
    differences = [1e6 * (after - before) / options.messages for before, after in pairs]
    cost, without = statistics.median(differences), statistics.median(before for before, _ in pairs)
    print(
        f"{options.messages:,} messages of as many users, {options.ids:,} erased ids, {options.pairs} pairs, CPU time"
    )
    print(f"  map without erased ids {1e6 * without / options.messages:6.2f} us a message")
    print(f"  erased ids             {cost:6.2f} us a message   (target: at most {TARGET})")
    save_figures("erased", {"machine": machine(), "microseconds": {"map": without, "erased": differences}})


def _message(number: int) -> str:
    body = {
        "message_id": f"msg_{number:016x}",
        "room_id": f"room_{number // 7:08x}",
        "user_id": f"user_{number:012d}",
        "timestamp": "2025-08-12T03:00:00.000Z",
        "role": "user" if number % 2 else "assistant",
        "content": "An answer of the usual length. " * 10,
    }
    return json.dumps(body)


def _measure(folder: Path, erased: ErasedIds) -> float:
    store = LocalStore(folder)
    listed = [item for batch in store.list() for item in batch]
    objects = [SourceObject(item["path"], item["size"], item["e_tag"] or "", 0) for item in listed]
    start, end = day_window(DAY, "Asia/Tokyo")
    spec = RunSpec(
        tenant="acme",
        date=DAY.isoformat(),
        zone="Asia/Tokyo",
        naive_zone="UTC",
        start_us=start,
        end_us=end,
        slack_us=0,
        layout="export",
        table_format="delta",
        buckets=1,
        run_id="bench",
        processed_us=0,
        limits=replace(Limits(), fetch_concurrency=1),
        erased=erased,
    )
    with tempfile.TemporaryDirectory() as name, connect(scratch=Path(name), spec=spec) as connection:
        before = time.process_time()
        map_chunk(
            objects, connection=connection, store=store, spec=spec, scratch=Path(name), may_keep=lambda size: True
        )
        return time.process_time() - before


if __name__ == "__main__":
    main()

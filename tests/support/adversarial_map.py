"""Run one hostile shape through the whole map in a process of its own, and print its cost as JSON.

python -m tests.support.adversarial_map BYTES SHAPE
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb

from daily_batch.domain.run import SourceObject
from daily_batch.pipeline.transform.duckdb_session import connect
from daily_batch.pipeline.transform.map_chunk import map_chunk
from tests.support.recovery_shapes import BUILD
from tests.support.run_specs import sample_run_spec

BLANKS = b" \t\r\n"
STATUS = Path("/proc/self/status")


class Stored:
    """A store with one object."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.meta = {"e_tag": "t", "size": len(body)}

    def get(self, path: str) -> Any:
        return self

    def list(self, prefix: str, **options: Any) -> Any:
        return iter(())

    def bytes(self) -> "Stored":
        return self

    def to_bytes(self) -> bytes:
        return self.body


def main(size: int, shape: str) -> None:
    body = BUILD[shape](size)
    checks = 0

    def check() -> None:
        nonlocal checks
        checks += 1

    with tempfile.TemporaryDirectory() as scratch:
        plan = sample_run_spec()
        with connect(scratch=Path(scratch), plan=plan) as connection:
            listed = [SourceObject("acme/a", len(body), "t", 0)]
            began, worked = time.perf_counter(), time.process_time()
            taken = map_chunk(
                listed, connection=connection, store=Stored(body), plan=plan, scratch=Path(scratch), check=check
            )
            took = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - worked}
        # Not ru_maxrss, which starts at the parent's memory.
        (peak,) = (int(line.split()[1]) / 1024 for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        files = [str(path) for path in taken.rejects]
        raws: list[tuple[bytes, bool]] = []
        if files:
            raws = duckdb.sql(f"SELECT raw, raw_truncated FROM read_parquet({files})").fetchall()
    counts = taken.counts.to_dict()
    told = {"text": len(body.translate(None, BLANKS)), "peak_mib": peak, "checks": checks, "counts": counts, **took}
    kept = sum(len(raw.translate(None, BLANKS)) for raw, _ in raws)
    print(json.dumps({**told, "rejects": len(raws), "whole": sum(not cut for _, cut in raws), "kept": kept}))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])

"""Map one adversarial object in this process, and print time, memory and counts as JSON. Arguments: BYTES SHAPE."""

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
from tests.support.run_specs import sample_spec

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

    def to_bytes(self) -> bytes:
        return self.body

    def bytes(self) -> "Stored":
        return self


def main(size: int, shape: str) -> None:
    body = BUILD[shape](size)
    checks = 0

    def check() -> None:
        nonlocal checks
        checks += 1

    with tempfile.TemporaryDirectory() as scratch:
        spec = sample_spec()
        with connect(scratch=Path(scratch), spec=spec) as connection:
            listed = [SourceObject("acme/a", len(body), "t", 0)]
            started, cpu_started = time.perf_counter(), time.process_time()
            result = map_chunk(
                listed, connection=connection, store=Stored(body), spec=spec, scratch=Path(scratch), check=check
            )
            timings = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu_started}
        # Not ru_maxrss, which starts at the parent's value.
        (peak,) = (int(line.split()[1]) / 1024 for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        files = [str(path) for path in result.rejects]
        raws: list[tuple[bytes, bool]] = []
        if files:
            raws = duckdb.execute(f"SELECT raw, raw_truncated FROM read_parquet({files})").fetchall()
    counts = result.counts.to_dict()
    report = {
        "text": len(body.translate(None, BLANKS)),
        "peak_mib": peak,
        "checks": checks,
        "counts": counts,
        **timings,
    }
    kept = sum(len(raw.translate(None, BLANKS)) for raw, _ in raws)
    print(json.dumps({**report, "rejects": len(raws), "whole": sum(not cut for _, cut in raws), "kept": kept}))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])

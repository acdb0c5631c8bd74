"""What Spark's driver keeps of the tasks' results does not grow with a day's chunks, and no blob stays in memory."""

import json
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

from daily_batch.pipeline.runners.spark import _TaskOutput
from daily_batch.pipeline.transform.outcomes import Counts

CHUNKS, BUCKETS, FIELDS = 5_000, 64, 1_000
MIB = 2**20


def encode(counts: Counts, **more: float) -> bytearray:
    return bytearray(json.dumps({"counts": counts.to_dict(), **more}).encode())


def make_rows() -> list[dict[str, Any]]:
    """Return rows as tasks give them: counts of each chunk and each bucket, and blobs of partial aggregates."""
    rejects = Counter({f"reason_{number:02d}": 1 for number in range(12)})
    names = Counter({f"field_{number:04d}": 1 for number in range(FIELDS)})
    chunks = [
        {"kind": "counts", "bucket": BUCKETS, "blob": encode(Counts(seen=3, rejects=rejects), ended=float(number))}
        for number in range(CHUNKS)
    ]
    buckets = [
        {"kind": kind, "bucket": bucket, "blob": blob}
        for bucket in range(BUCKETS)
        for kind, blob in (("counts", encode(Counts(unknown_fields=names))), ("responses", bytearray(MIB // 4)))
    ]
    return [*buckets, *chunks]


def test_results_of_thousands_of_chunks_are_summed_and_released_one_by_one(tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        rows = make_rows()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        output = _TaskOutput(tmp_path, rows)
        left, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert output.counts.seen == 3 * CHUNKS
    assert output.counts.rejects == {f"reason_{number:02d}": CHUNKS for number in range(12)}
    assert output.counts.unknown_fields["field_0000"] == BUCKETS
    assert max(output.map_ends) == CHUNKS - 1
    assert len(output.paths["responses"]) == BUCKETS
    assert held > 20 * MIB
    assert peak - held < 4 * MIB
    assert left < 4 * MIB

"""Run the whole map over objects in memory, and return rows, rejects and counts."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from daily_batch.domain.run import RunSpec, SourceObject
from daily_batch.pipeline.transform.duckdb_session import connect
from daily_batch.pipeline.transform.fields import ARRAYS
from daily_batch.pipeline.transform.map_chunk import MapResult, map_chunk
from daily_batch.pipeline.transform.outcomes import Counts
from daily_batch.pipeline.transform.write import typed_array
from tests.support.run_specs import sample_run_spec

PLAN = sample_run_spec()
Rows = list[tuple[Any, ...]]


class Memory:
    """A store of a few objects in memory."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects

    def get(self, path: str) -> Any:
        return Stored(self.objects[path])


class Stored:
    def __init__(self, body: bytes) -> None:
        self.body = body
        self.meta = {"e_tag": "t", "size": len(body)}

    def bytes(self) -> "Stored":
        return self

    def to_bytes(self) -> bytes:
        return self.body


def map_objects(objects: dict[str, bytes], plan: RunSpec = PLAN) -> tuple[Rows, Rows, Counts]:
    """Return rows (without their offsets), rejects and counts of the objects in a fixed order."""
    listed = [SourceObject(key, len(body), "t", 0) for key, body in objects.items()]
    with tempfile.TemporaryDirectory() as scratch:
        found = map_listed(listed, Memory(objects), plan, Path(scratch))
        # Typed, because the text of an array holds either all fields or only those that were sent.
        arrays = ", ".join(f"{typed_array(name)} AS {name}" for name in ARRAYS)
        rows = _read([path for _, path in found.runs], f"* EXCLUDE (length, bucket) REPLACE ({arrays})")
        rejects = _read(found.rejects, "*")
    return rows, rejects, found.counts


def map_listed(listed: list[SourceObject], store: Memory, plan: RunSpec, scratch: Path) -> MapResult:
    with connect(scratch=scratch, plan=plan) as connection:
        return map_chunk(listed, connection=connection, store=store, plan=plan, scratch=scratch)


def _read(files: Sequence[Path], columns: str) -> Rows:
    if not files:
        return []
    paths = [str(path) for path in files]
    return sorted(duckdb.sql(f"SELECT {columns} FROM read_parquet({paths})").fetchall(), key=repr)

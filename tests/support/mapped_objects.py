"""Map objects in memory, and return their rows, rejects and counts."""

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
from tests.support.run_specs import sample_spec

SPEC = sample_spec()
Rows = list[tuple[Any, ...]]


class Memory:
    """A store of objects in memory."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects

    def get(self, path: str) -> Any:
        return Stored(self.objects[path])

    def list(self, prefix: str) -> Any:
        raise NotImplementedError("a chunk's objects are known")


class Stored:
    def __init__(self, body: bytes) -> None:
        self.body = body
        self.meta = {"e_tag": "t", "size": len(body)}

    def to_bytes(self) -> bytes:
        return self.body

    def bytes(self) -> "Stored":
        return self


def map_objects(objects: dict[str, bytes], spec: RunSpec = SPEC) -> tuple[Rows, Rows, Counts]:
    """Return the rows (without length and bucket), rejects and counts of the objects, sorted."""
    listed = [SourceObject(key, len(body), "t", 0) for key, body in objects.items()]
    with tempfile.TemporaryDirectory() as scratch:
        result = run_map(listed, Memory(objects), spec, Path(scratch))
        # Typed, because an array's text holds either all listed fields or only those that were sent.
        arrays = ", ".join(f"{typed_array(name)} AS {name}" for name in ARRAYS)
        rows = _read([path for _, path in result.spilled], f"* EXCLUDE (length, bucket) REPLACE ({arrays})")
        rejects = _read(result.rejects, "*")
    return rows, rejects, result.counts


def run_map(listed: list[SourceObject], store: Memory, spec: RunSpec, scratch: Path) -> MapResult:
    with connect(scratch=scratch, spec=spec) as connection:
        return map_chunk(listed, connection=connection, store=store, spec=spec, scratch=scratch)


def _read(files: Sequence[Path], columns: str) -> Rows:
    if not files:
        return []
    paths = [str(path) for path in files]
    return sorted(duckdb.execute(f"SELECT {columns} FROM read_parquet({paths})").fetchall(), key=repr)

"""Run a day of objects given as bytes on the real runners, and compare the result with the oracle."""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from daily_batch.domain.receipt import Receipt
from daily_batch.domain.run import Limits
from daily_batch.pipeline.runners.base import Runner
from tests.oracle.compare import assert_agrees
from tests.oracle.day import Oracle, Stored
from tests.oracle.listed import Link
from tests.support.assert_days_equal import assert_equal_receipts, assert_equal_tables
from tests.support.day_runs import DAY, read_tables, run_day_with, run_local

EXPORT = "acme/exports/messages/2025/08/12"
ROOM = "acme/chat/u1/r1/messages"
AT = "2025-08-12T01:02:03.500Z"
# Runners that run each day in addition to the local one; the tests in integration/faults set Spark.
EXTRA_RUNNERS: tuple[Runner, ...] = ()
OTHER_FORMAT = {"delta": "parquet", "parquet": "delta"}


class Outcome(NamedTuple):
    """The published rows, the rejects and the receipt of a run."""

    rows: list[dict[str, Any]]
    rejects: list[dict[str, Any]]
    receipt: Receipt

    @property
    def row(self) -> dict[str, Any]:
        (only,) = self.rows
        return only

    @property
    def reasons(self) -> list[str]:
        return sorted(reject["reason"] for reject in self.rejects)


def message(**fields: object) -> dict[str, object]:
    """Return a valid record with these fields replaced; `...` omits a field."""
    defaults = {"message_id": "m1", "user_id": "u1", "room_id": "r1", "timestamp": AT, "role": "user", "content": "hi"}
    return {name: value for name, value in {**defaults, **fields}.items() if value is not ...}


def line(**fields: object) -> bytes:
    return json.dumps(message(**fields), ensure_ascii=False).encode()


def raw_line(insert: str, **fields: object) -> bytes:
    """Return a record with further JSON text before its closing brace."""
    return line(**fields)[:-1] + b", " + insert.encode() + b"}"


def run_objects(folder: Path, objects: Mapping[str, bytes | Link], *, output: str = "out", **settings: Any) -> Outcome:
    """Write the objects, run the day and return its tables, which must equal those of the oracle and EXTRA_RUNNERS."""
    stored = _write_objects(folder / "in", objects)
    day, table_format = settings.get("day", DAY), settings.pop("table_format", "delta")
    receipt = run_local(input=folder / "in", output=folder / output, table_format=table_format, **settings)
    tables = read_tables(folder / output, table_format=table_format, day=day)
    zones = {"zone": settings.get("timezone", "Asia/Tokyo"), "naive_zone": settings.get("naive_timezone", "UTC")}
    limits = Limits(**{name: settings[name] for name in vars(Limits()) if name in settings})
    assert_agrees(Oracle(day=day, limits=limits, **zones).expect(stored), tables, receipt, day=day)
    # In the other table format, so that one run compares both runners and both formats.
    other_format = OTHER_FORMAT[table_format]
    for runner in EXTRA_RUNNERS:
        other_output = folder / f"{output} {runner.name}"
        other_receipt = run_day_with(
            runner, input=folder / "in", output=other_output, table_format=other_format, **settings
        )
        assert_equal_tables(read_tables(other_output, table_format=other_format, day=day), tables)
        assert_equal_receipts(other_receipt, receipt)
    return Outcome(tables["messages"], tables["rejects"], receipt)


def _write_objects(source: Path, objects: Mapping[str, bytes | Link]) -> dict[str, Stored | Link]:
    stored: dict[str, Stored | Link] = {}
    for key, body in objects.items():
        path = source / key
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(body, Link):
            path.symlink_to(body.target)
            stored[key] = body
            continue
        path.write_bytes(body)
        stored[key] = Stored(body, path.stat().st_mtime)
    return stored


def run_export(folder: Path, *bodies: bytes, **settings: Any) -> Outcome:
    """Run an export with one file per body."""
    return run_objects(folder, {f"{EXPORT}/part-{n}.jsonl": body for n, body in enumerate(bodies)}, **settings)


def run_object(folder: Path, body: bytes, *, name: str = "01-02-03.500Z-m1", **settings: Any) -> Outcome:
    """Run a day of one message object."""
    return run_objects(folder, {f"{ROOM}/2025/08/12/{name}.json": body}, **settings)


def packed(text: bytes) -> bytes:
    """Compress with gzip; equal input gives equal bytes."""
    return gzip.compress(text, mtime=0)

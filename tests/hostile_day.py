"""A day of objects given as bytes, run through the real local runner, and what came of it."""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from daily_batch.receipt import Receipt
from day_runs import DAY, read_tables, run_local
from oracle.compare import assert_agrees
from oracle.day import Oracle, Stored

EXPORT = "acme/exports/messages/2025/08/12"
ROOM = "acme/chat/u1/r1/messages"
AT = "2025-08-12T01:02:03.500Z"


class Outcome(NamedTuple):
    """Published rows, rejects, and the receipt."""

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
    """A record as specified, with some fields replaced; `...` leaves one out."""
    whole = {"message_id": "m1", "user_id": "u1", "room_id": "r1", "timestamp": AT, "role": "user", "content": "hi"}
    return {name: value for name, value in {**whole, **fields}.items() if value is not ...}


def line(**fields: object) -> bytes:
    return json.dumps(message(**fields), ensure_ascii=False).encode()


def raw_line(insert: str, **fields: object) -> bytes:
    """A record with JSON text of its own at the end."""
    return line(**fields)[:-1] + b", " + insert.encode() + b"}"


def run_objects(folder: Path, objects: Mapping[str, bytes], *, output: str = "out", **settings: Any) -> Outcome:
    """Lay the objects down, run the day, read what was published: it must be what the oracle says, too."""
    source = folder / "in"
    laid = {}
    for key, body in objects.items():
        path = source / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        laid[key] = Stored(body, path.stat().st_mtime)
    receipt = run_local(input=source, output=folder / output, **settings)
    day = settings.get("day", DAY)
    tables = read_tables(folder / output, table_format=settings.get("table_format", "delta"), day=day)
    zones = {"zone": settings.get("timezone", "Asia/Tokyo"), "naive_zone": settings.get("naive_timezone", "UTC")}
    assert_agrees(Oracle(day=day, **zones).expect(laid), tables, receipt, day=day)
    return Outcome(tables["messages"], tables["rejects"], receipt)


def run_export(folder: Path, *bodies: bytes, **settings: Any) -> Outcome:
    """Each body a file of the day's export; a day must not be empty, so one good record is in a file of its own."""
    return run_objects(folder, {f"{EXPORT}/part-{n}.jsonl": body for n, body in enumerate(bodies)}, **settings)


def run_object(folder: Path, body: bytes, *, name: str = "01-02-03.500Z-m1", **settings: Any) -> Outcome:
    """One object of one message."""
    return run_objects(folder, {f"{ROOM}/2025/08/12/{name}.json": body}, **settings)


def packed(text: bytes) -> bytes:
    return gzip.compress(text, mtime=0)

"""The original bytes of records that the reduce decided about: those that lost, and those published with a repair.

Carrying every record's bytes through the shuffle would double it; reading these few objects again costs nothing on a
day without any.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import duckdb

from daily_batch.domain.contract import Flag, Reason
from daily_batch.domain.run import RunSpec, SourceObject
from daily_batch.pipeline.transform.cancel import CancelCheck, never_cancel
from daily_batch.pipeline.transform.decode import UnreadableError, decode_originals
from daily_batch.pipeline.transform.duckdb_session import connect, quote_text
from daily_batch.pipeline.transform.fetch import ObjectStore, fetch
from daily_batch.pipeline.transform.rejects import RejectWriter

DETAILS: dict[str, str] = {
    Reason.SUPERSEDED: "another record of the same room_id and message_id won",
    Flag.REPLACED_SURROGATE: "copy of a published row",
}


class RecordLocation(NamedTuple):
    """Where a record stands, `start` and `length` in bytes of its object's decoded text, and why it is wanted."""

    source_key: str
    source_line: int
    start: int
    length: int
    reason: str


def read_wanted(files: Sequence[Path]) -> list[RecordLocation]:
    """The places that the buckets asked for."""
    if not files:
        return []
    paths = ", ".join(quote_text(str(path)) for path in files)
    with duckdb.connect() as connection:
        rows = connection.execute(f"SELECT {', '.join(RecordLocation._fields)} FROM read_parquet([{paths}])").fetchall()
    return [RecordLocation(*row) for row in rows]


def group_by_object(wanted: Iterable[RecordLocation]) -> dict[str, list[RecordLocation]]:
    """Return the places by the key of their object."""
    by_key: dict[str, list[RecordLocation]] = defaultdict(list)
    for place in wanted:
        by_key[place.source_key].append(place)
    return dict(by_key)


def recover(
    objects: Sequence[SourceObject],
    wanted: Mapping[str, Sequence[RecordLocation]],
    *,
    store: ObjectStore,
    plan: RunSpec,
    scratch: Path,
    check: CancelCheck = never_cancel,
) -> tuple[Path, ...]:
    """Write rejects, one row for each wanted record of these objects, and return their files.

    Args:
        wanted: places by the key of their object, of these objects at least.
        check: called between objects.

    Raises:
        Retryable: an object changed since the map read it.
    """
    with connect(scratch=scratch, plan=plan) as connection:
        rejects = RejectWriter(connection, scratch)
        for _, item, stored in fetch(store, objects, plan=plan, scratch=scratch, check=check):
            if isinstance(stored, UnreadableError):
                continue  # listed under another object's key: see fetch
            places = sorted(wanted[item.key], key=lambda place: place.start)
            originals = decode_originals(
                stored,
                [(place.start, place.length) for place in places],
                key=item.key,
                limits=plan.limits,
                scratch=scratch,
            )
            for place, (raw, cut) in zip(places, originals, strict=True):
                rejects.add(item.key, place.source_line, place.reason, DETAILS[place.reason], raw, truncated=cut)
        return rejects.finish()

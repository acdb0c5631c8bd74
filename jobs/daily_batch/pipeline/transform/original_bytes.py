"""Recover the original bytes of records that the reduce decided on: superseded ones, and published ones with a repair.

Carrying every record's bytes through the shuffle would double it; reading the few objects again costs nothing on a day
without such records.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import duckdb

from daily_batch.domain.codes import Flag, Reason
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
    """The location of a record, in bytes of its object's decoded text, and the reason why its bytes are needed."""

    source_key: str
    source_line: int
    start: int
    length: int
    reason: str


def read_locations(files: Sequence[Path]) -> list[RecordLocation]:
    """Return the locations that the buckets wrote."""
    if not files:
        return []
    paths = ", ".join(quote_text(str(path)) for path in files)
    with duckdb.connect() as connection:
        rows = connection.execute(f"SELECT {', '.join(RecordLocation._fields)} FROM read_parquet([{paths}])").fetchall()
    return [RecordLocation(*row) for row in rows]


def group_by_object(locations: Iterable[RecordLocation]) -> dict[str, list[RecordLocation]]:
    """Return the locations by object key."""
    by_key: dict[str, list[RecordLocation]] = defaultdict(list)
    for location in locations:
        by_key[location.source_key].append(location)
    return dict(by_key)


def recover(
    objects: Sequence[SourceObject],
    locations: Mapping[str, Sequence[RecordLocation]],
    *,
    store: ObjectStore,
    spec: RunSpec,
    scratch: Path,
    check: CancelCheck = never_cancel,
) -> tuple[Path, ...]:
    """Write one reject for each located record of these objects, and return the files of rejects.

    Args:
        locations: By object key; must hold every key in `objects`.
        check: Called between objects.

    Raises:
        InputChangedError: An object changed since the map read it.
    """
    with connect(scratch=scratch, spec=spec) as connection:
        rejects = RejectWriter(connection, scratch)
        for _, item, stored in fetch(store, objects, spec=spec, scratch=scratch, check=check):
            if isinstance(stored, UnreadableError):
                continue  # listed under another key than its own: see fetch
            object_locations = sorted(locations[item.key], key=lambda location: location.start)
            originals = decode_originals(
                stored,
                [(location.start, location.length) for location in object_locations],
                key=item.key,
                limits=spec.limits,
                scratch=scratch,
            )
            for location, (raw, truncated) in zip(object_locations, originals, strict=True):
                rejects.add(
                    item.key, location.source_line, location.reason, DETAILS[location.reason], raw, truncated=truncated
                )
        return rejects.finish()

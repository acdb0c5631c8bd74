"""Parse a day's rejects again by the current rules, from the bytes that they keep. Nothing is published."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
from obstore.store import MemoryStore

from daily_batch.domain.codes import Flag, Reason
from daily_batch.domain.contract import REJECTS
from daily_batch.domain.keys import strip_compression_suffix
from daily_batch.domain.request import Request
from daily_batch.domain.run import RunSpec
from daily_batch.pipeline.discover.object_tree import StoredTree
from daily_batch.pipeline.publish.snapshot import download_day
from daily_batch.pipeline.transform.duckdb_session import connect, quote_text
from daily_batch.pipeline.transform.map_chunk import map_chunk
from daily_batch.storage.scratch import make_folder
from daily_batch.storage.stores import Storage

# Not errors: a superseded record lost to a newer one, and a repaired record is a copy of a published row.
NOT_ERRORS = (Reason.SUPERSEDED, Flag.REPLACED_SURROGATE)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The rejects of one reason: how many exist, how many were tried because all their bytes are kept, and how many of
    those the current rules accept.
    """

    reason: str
    rejects: int
    tried: int
    accepted: int


def try_rejects(request: Request, spec: RunSpec, *, storage: Storage, scratch: Path) -> list[Trial]:
    """Parse the day's rejects again, reason by reason.

    Args:
        spec: The day under the current rules.
        scratch: Local folder for temporary files.
    """
    files = download_day(REJECTS, request=request, storage=storage, folder=make_folder(scratch / "files"))
    if not files:
        return []
    paths = ", ".join(quote_text(str(path)) for path in files)
    columns = "reason, source_key, source_line, raw, raw_truncated"
    with duckdb.connect() as connection:
        rows = connection.execute(f"SELECT {columns} FROM read_parquet([{paths}]) ORDER BY ALL").fetchall()
    by_reason: dict[str, list[tuple[str, int, bytes, bool]]] = defaultdict(list)
    for reason, *reject in rows:
        by_reason[reason].append((reject[0], reject[1], bytes(reject[2]), reject[3]))
    return [
        _try(reason, rejects, spec=spec, scratch=make_folder(scratch / reason))
        for reason, rejects in sorted(by_reason.items())
        if reason not in NOT_ERRORS
    ]


def _try(reason: str, rejects: Sequence[tuple[str, int, bytes, bool]], *, spec: RunSpec, scratch: Path) -> Trial:
    whole = [reject for reject in rejects if not reject[3]]
    store = MemoryStore()
    by_key: dict[str, list[bytes]] = defaultdict(list)
    for number, (key, line, raw, _) in enumerate(whole):
        by_key[_storage_key(key, line, number, spec)].append(raw)
    for key, raws in by_key.items():
        store.put(key, b"\n".join(raws))
    # An object that is ignored by its name today is no longer rejected.
    batches = StoredTree(store).list_objects(spec.tenant, nested=spec.layout == "export")
    objects = [item for batch in batches for item in batch.objects]
    with connect(scratch=scratch, spec=spec) as connection:
        counts = map_chunk(objects, connection=connection, store=store, spec=spec, scratch=scratch).counts
    # The rejects of one object are stored as one object here; if it is unreadable, all of them are rejected.
    rejected = counts.rejected + counts.erased + counts.objects_unreadable * max(map(len, by_key.values()), default=0)
    accepted = max(0, len(whole) - rejected)
    return Trial(reason=reason, rejects=len(rejects), tried=len(whole), accepted=accepted)


def _storage_key(key: str, line: int, number: int, spec: RunSpec) -> str:
    """Return the key under which a reject is read again; user, room and time in the key must stay."""
    if line == 0:
        return key  # the whole object
    # A record inside a compressed object is kept decompressed, and the name must not claim otherwise.
    plain = strip_compression_suffix(key)
    return plain if spec.layout == "messages" else f"{plain}/{number}"

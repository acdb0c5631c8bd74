"""What the current rules make of a day's rejects, from the bytes that the rejects kept. Nothing is published."""

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

# These are no faults: the first lost to another record, the second is a copy of a published row.
NO_FAULTS = (Reason.SUPERSEDED, Flag.REPLACED_SURROGATE)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The rejects of one reason: how many there are, how many kept all their bytes and were tried, and what is no
    longer rejected."""

    reason: str
    rejects: int
    tried: int
    accepted: int


def try_rejects(request: Request, plan: RunSpec, *, storage: Storage, scratch: Path) -> list[Trial]:
    """Read the day's rejects again, reason by reason; `plan` holds the current rules."""
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
        _try(reason, rejects, plan=plan, scratch=make_folder(scratch / reason))
        for reason, rejects in sorted(by_reason.items())
        if reason not in NO_FAULTS
    ]


def _try(reason: str, rejects: Sequence[tuple[str, int, bytes, bool]], *, plan: RunSpec, scratch: Path) -> Trial:
    whole = [reject for reject in rejects if not reject[3]]
    store = MemoryStore()
    by_key: dict[str, list[bytes]] = defaultdict(list)
    for number, (key, line, raw, _) in enumerate(whole):
        by_key[_place(key, line, number, plan)].append(raw)
    for key, raws in by_key.items():
        store.put(key, b"\n".join(raws))
    # What is no data by its name is left out today, so it is rejected no longer.
    batches = StoredTree(store).list_objects(plan.tenant, nested=plan.layout == "export")
    objects = [item for batch in batches for item in batch.objects]
    with connect(scratch=scratch, spec=plan) as connection:
        counts = map_chunk(objects, connection=connection, store=store, spec=plan, scratch=scratch).counts
    # The rejects of an object of one message were laid down together, and an unreadable object refuses them all.
    refused = counts.rejected + counts.objects_unreadable * max(map(len, by_key.values()), default=0)
    accepted = max(0, len(whole) - refused)
    return Trial(reason=reason, rejects=len(rejects), tried=len(whole), accepted=accepted)


def _place(key: str, line: int, number: int, plan: RunSpec) -> str:
    """Where a reject's bytes are laid down to be read again: what the key says of user, room and time must stay."""
    if line == 0:
        return key  # the object as it was stored
    # What lay inside is no longer compressed, and the name must not promise that it is.
    plain = strip_compression_suffix(key)
    return plain if plan.layout == "messages" else f"{plain}/{number}"

"""The evidence of an erasure, `{tenant}/analytics/_erasures/{id}.json`.

It is saved before the first change and after each step. It holds no id: the list of erased ids has their digests under
the same name (`pipeline.erased_list`).
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from daily_batch.domain.erased import Kind, digest_id
from daily_batch.domain.keys import analytics_folder
from daily_batch.domain.run import TableFormat
from daily_batch.errors import UsageError
from daily_batch.maintenance.subject import Subject
from daily_batch.pipeline.erased_list import ListedErasure, find_key, read_list

if TYPE_CHECKING:  # obstore has this name for type checkers only
    from obstore.store import ObjectStore


@dataclass(frozen=True, kw_only=True)
class ErasedTable:
    """How many rows of a table's day were removed and how many remain.

    `doubtful` counts the removed rows that may not be the subject's. From the Delta version `version` on, readers no
    longer see the removed rows.
    """

    removed: int
    doubtful: int = 0
    remaining: int | None = None
    version: int | None = None


@dataclass(frozen=True, kw_only=True)
class ErasedDay:
    """One tenant-day in one table format: `runs` wrote its rows, `old_files` counts files that readers do not see."""

    date: date
    format: TableFormat
    state: Literal["planned", "done"] = "planned"
    tables: Mapping[str, ErasedTable] = field(default_factory=dict)
    runs: tuple[str, ...] = ()
    token: int | None = None
    old_files: int = 0


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One erasure, field by field as in its JSON.

    `ids` is the number of ids. From `ended` on, `readable_from` is the first version of each Delta table that can be
    read. `mentions` counts other users' messages that name an id and were kept; None if they were not searched for.
    """

    erasure: str
    tenant: str
    kind: Kind
    ids: int
    with_mentions: bool
    by: str
    state: Literal["in progress", "done"]
    began: str
    days: tuple[ErasedDay, ...]
    mentions: int | None
    ended: str | None = None
    readable_from: Mapping[str, int] = field(default_factory=dict)


def evidence_key(tenant: str, erasure: str) -> str:
    """Return the key of the evidence, relative to the output root."""
    return f"{analytics_folder(tenant)}/_erasures/{erasure}.json"


def start_evidence(subject: Subject, *, now: datetime, by: str) -> Evidence:
    """Return the evidence of an erasure that starts."""
    return Evidence(
        erasure=f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}",
        tenant=subject.tenant,
        kind=subject.kind,
        ids=len(subject.ids),
        with_mentions=subject.mentions,
        by=by,
        state="in progress",
        began=now.isoformat(timespec="seconds"),
        days=(),
        mentions=0,
    )


def find_unfinished(store: "ObjectStore", subject: Subject) -> Evidence | None:
    """Return the evidence of an unfinished erasure of the same ids; None if there is none.

    Raises:
        UsageError: the unfinished erasure has the other setting of mentions.
    """
    key = find_key(store, subject.tenant)
    wanted = {digest_id(key, subject.kind, each) for each in subject.ids} if key else set()
    for entry in read_list(store, subject.tenant) if wanted else ():
        if entry.kind != subject.kind or set(entry.digests) != wanted:
            continue
        found = _find_evidence(store, subject.tenant, entry.erasure)
        if found is None or found.state == "done":
            continue
        if found.with_mentions != subject.mentions:
            started = "with" if found.with_mentions else "without"
            raise UsageError(
                f"an erasure of this {subject.kind} was started {started} --mentions and has not finished",
                next_step=f"finish it {started} --mentions first",
                tenant=subject.tenant,
            )
        return found
    return None


def list_entry(subject: Subject, evidence: Evidence, *, key: str) -> ListedErasure:
    """Return what the list of erased ids gets of an erasure."""
    digests = sorted(digest_id(key, subject.kind, each) for each in subject.ids)
    return ListedErasure(erasure=evidence.erasure, kind=subject.kind, at=evidence.began, digests=tuple(digests))


def _find_evidence(store: "ObjectStore", tenant: str, erasure: str) -> Evidence | None:
    try:
        return msgspec.json.decode(bytes(store.get(evidence_key(tenant, erasure)).bytes()), type=Evidence)
    except FileNotFoundError:
        return None


def save_evidence(store: "ObjectStore", evidence: Evidence) -> None:
    """Write the evidence."""
    text = json.dumps(asdict(evidence), indent=2, ensure_ascii=False, default=str)
    store.put(evidence_key(evidence.tenant, evidence.erasure), text.encode())


def with_day(evidence: Evidence, day: ErasedDay) -> Evidence:
    """Return the evidence with a day added or replaced."""
    others = (each for each in evidence.days if (each.date, each.format) != (day.date, day.format))
    days = sorted((*others, day), key=lambda each: (each.date, each.format))
    return replace(evidence, days=tuple(days))

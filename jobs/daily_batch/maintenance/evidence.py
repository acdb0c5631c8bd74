"""The file that says what was erased, `{tenant}/analytics/_erasures/{id}.json`: written before the first row goes, and
after each step. It holds no id, only what an id is recognised by."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from daily_batch.domain.keys import analytics_folder
from daily_batch.domain.run import TableFormat
from daily_batch.errors import UsageError
from daily_batch.maintenance.subject import Person

if TYPE_CHECKING:  # obstore has this name for type checkers only
    from obstore.store import ObjectStore


@dataclass(frozen=True, kw_only=True)
class ErasedTable:
    """Rows that went from a table's day, `doubtful` of them only perhaps the person's, and rows that are left.

    `version` is the Delta version since which readers no longer see them.
    """

    removed: int
    doubtful: int = 0
    remaining: int | None = None
    version: int | None = None


@dataclass(frozen=True, kw_only=True)
class ErasedDay:
    """One tenant-day in one format. `runs` wrote its rows; `old_files` are those that no version names any more."""

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

    `digest` is scrypt of the id. `readable_from` names each Delta table's first version that can still be read, from
    `ended` on. `mentions` counts messages of others that name the id and were left.
    """

    erasure: str
    tenant: str
    kind: Literal["user", "room"]
    digest: str
    with_mentions: bool
    by: str
    state: Literal["in progress", "done"]
    began: str
    days: tuple[ErasedDay, ...]
    mentions: int
    ended: str | None = None
    readable_from: Mapping[str, int] = field(default_factory=dict)


def evidence_key(tenant: str, erasure: str) -> str:
    """Where the evidence is, relative to the output root."""
    return f"{analytics_folder(tenant)}/_erasures/{erasure}.json"


def begin_evidence(person: Person, *, now: datetime, by: str) -> Evidence:
    """The evidence of an erasure that begins."""
    digest = person.digest
    return Evidence(
        erasure=f"{now:%Y%m%dT%H%M%SZ}-{digest[:8]}-{secrets.token_hex(2)}",
        tenant=person.tenant,
        kind=person.kind,
        digest=digest,
        with_mentions=person.mentions,
        by=by,
        state="in progress",
        began=now.isoformat(timespec="seconds"),
        days=(),
        mentions=0,
    )


def find_unfinished(store: "ObjectStore", person: Person) -> Evidence | None:
    """The evidence of an erasure of the same id that was begun and has not ended.

    Raises:
        UsageError: it was begun with or without mentions, and is to go on otherwise.
    """
    digest = person.digest
    for batch in store.list(f"{analytics_folder(person.tenant)}/_erasures/"):
        for item in batch:
            found = msgspec.json.decode(bytes(store.get(item["path"]).bytes()), type=Evidence)
            if found.digest != digest or found.state == "done":
                continue
            if found.with_mentions != person.mentions:
                begun = "with" if found.with_mentions else "without"
                raise UsageError(
                    f"an erasure of this {person.kind} was begun {begun} --mentions and has not ended",
                    next_step=f"give the command {begun} --mentions, then another",
                    tenant=person.tenant,
                )
            return found
    return None


def save_evidence(store: "ObjectStore", evidence: Evidence) -> None:
    """Write the evidence as it is now."""
    text = json.dumps(asdict(evidence), indent=2, ensure_ascii=False, default=str)
    store.put(evidence_key(evidence.tenant, evidence.erasure), text.encode())


def with_day(evidence: Evidence, day: ErasedDay) -> Evidence:
    """The evidence with a day's state in the place of what it said of it."""
    others = (each for each in evidence.days if (each.date, each.format) != (day.date, day.format))
    days = sorted((*others, day), key=lambda each: (each.date, each.format))
    return replace(evidence, days=tuple(days))

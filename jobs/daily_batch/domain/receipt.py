"""The receipt of a run: counts that must add up, or nothing is published."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, Literal

from daily_batch.domain.contract import MESSAGES, REJECTS, Flag
from daily_batch.domain.keys import analytics_folder
from daily_batch.domain.quality import CheckResult
from daily_batch.domain.run import Layout, TableFormat
from daily_batch.errors import TerminalError

Status = Literal["COMPLETED", "COMPLETED_WITH_REJECTS", "FAILED"]


@dataclass(frozen=True, kw_only=True)
class Objects:
    """Objects of the manifest, and those beside them that are no data by their names; `bytes` of the former, as stored.

    Receipts of runs that left nothing out by name lack `ignored`.
    """

    listed: int
    read: int
    unreadable: int
    ignored: int = 0
    bytes: int

    @property
    def taken(self) -> int:
        """Those of the manifest."""
        return self.listed - self.ignored


@dataclass(frozen=True, kw_only=True)
class Records:
    """Records of the objects that were read, each counted once."""

    seen: int
    written: int
    duplicates: int
    superseded: int
    rejected: int
    other_day: int
    empty: int


@dataclass(frozen=True, kw_only=True)
class TableCounts:
    """What one table holds of the day; `version` is Delta's, None for Parquet."""

    rows: int
    files: int
    bytes: int
    version: int | None


@dataclass(frozen=True, kw_only=True)
class Erased:
    """What an erasure took of the day afterwards: rows by table; the receipt's other counts stay the run's."""

    erasure: str
    rows: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Shrink:
    """A loss of rows that was allowed, by whom, and what the day had before; `objects` are of the last receipt."""

    by: str
    messages: int
    objects: int | None = None


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """One run of one tenant-day, field by field as in its JSON.

    `rejects` counts rejected records by reason: superseded records and unreadable objects have counters of their own.
    `quality` has a finding for each rule that is set for the tenant. Only where there is something to say: `erased`,
    `shrink`, where somebody allowed that rows went, and `overflows`, where sums of `tokens_used` do not fit their
    column: by table, how many rows have null instead.
    """

    tenant: str
    date: str
    run_id: str
    status: Status
    runner: str
    format: TableFormat
    layout: Layout
    objects: Objects
    records: Records
    rejects: Mapping[str, int]
    flags: Mapping[str, int]
    tables: Mapping[str, TableCounts]
    seconds: Mapping[str, float]
    input: str
    output: str
    fingerprint: str
    quality: tuple[CheckResult, ...] = ()
    erased: tuple[Erased, ...] = ()
    overflows: Mapping[str, int] = field(default_factory=dict)
    shrink: Shrink | None = None


def decide_status(*, objects: Objects, records: Records) -> Status:
    """Return the status of a run whose sums hold; a run that fails says FAILED itself.

    A superseded record is an earlier edit of a message that is published: nothing is lost with it.
    """
    clean = records.rejected == objects.unreadable == 0
    return "COMPLETED" if clean else "COMPLETED_WITH_REJECTS"


def check_sums(receipt: Receipt) -> None:
    """Check that every object and record is accounted for; tables that are not in the receipt yet are left out.

    Raises:
        Terminal: a sum does not hold; the message names it and its terms.
    """
    objects, records = receipt.objects, receipt.records
    became = {"read": objects.read, "unreadable": objects.unreadable, "ignored": objects.ignored}
    _check_sum(receipt, "objects.listed", objects.listed, became)
    outcomes = {name: count for name, count in asdict(records).items() if name != "seen"}
    _check_sum(receipt, "records.seen", records.seen, outcomes)
    _check_sum(receipt, "records.rejected", records.rejected, receipt.rejects)
    if MESSAGES.name in receipt.tables:
        rows = receipt.tables[MESSAGES.name].rows
        _check_sum(receipt, "tables.messages.rows", rows, {"written": records.written})
    if REJECTS.name in receipt.tables:
        evidence = {
            "rejected": records.rejected,
            "superseded": records.superseded,
            "unreadable": objects.unreadable,
            "copies": receipt.flags.get(Flag.REPLACED_SURROGATE, 0),
        }
        _check_sum(receipt, "tables.rejects.rows", receipt.tables[REJECTS.name].rows, evidence)


def describe_loss(receipt: Receipt) -> str | None:
    """Say what of a published day is in no table of messages, with its share; None if nothing is lost."""
    objects, records = receipt.objects, receipt.records
    lost = []
    if objects.unreadable:
        lost.append(
            f"{objects.unreadable:,} of {_share(objects.unreadable, objects.taken, 'objects')} could not be read"
        )
    if records.rejected:
        reasons = ", ".join(f"{name} {count:,}" for name, count in receipt.rejects.items())
        lost.append(f"{records.rejected:,} of {_share(records.rejected, records.seen, 'records')} rejected ({reasons})")
    return "; ".join(lost) or None


def advise_loss(receipt: Receipt) -> str | None:
    """Say the same as a warning with the next step."""
    lost = describe_loss(receipt)
    step = "see their source_key and reason in rejects, mend them at their source and run the day again"
    return f"{lost}. Next step: {step} (docs/runbooks/reject-percent.md)" if lost else None


def _share(part: int, whole: int, noun: str) -> str:
    return f"{whole:,} {noun} ({part / whole:.1%})"


def to_dict(receipt: Receipt) -> dict[str, Any]:
    """Return the receipt as plain values, field by field."""
    values = asdict(receipt)
    return {name: value for name, value in values.items() if value or name not in ("erased", "overflows", "shrink")}


def to_json(receipt: Receipt) -> str:
    """Return the receipt as indented JSON; text that is not ASCII stays readable."""
    return json.dumps(to_dict(receipt), indent=2, ensure_ascii=False, allow_nan=False)


def receipt_key(tenant: str, day: date, run_id: str) -> str:
    """Return where the receipt goes, relative to the output root."""
    return f"{analytics_folder(tenant)}/_receipts/{day.isoformat()}/{run_id}.json"


def _check_sum(receipt: Receipt, name: str, total: int, terms: Mapping[str, int]) -> None:
    if total == sum(terms.values()):
        return
    spelled = " + ".join(f"{term} {count}" for term, count in terms.items()) or "nothing"
    raise TerminalError(
        f"{name} is {total}, but {spelled} is {sum(terms.values())} (run {receipt.run_id})",
        next_step="nothing was published; keep the run's log and report it as a defect",
        tenant=receipt.tenant,
        day=receipt.date,
    )

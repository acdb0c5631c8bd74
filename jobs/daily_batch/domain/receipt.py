"""The receipt of a run: counts that must add up before anything is published."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, Literal

from daily_batch.domain.codes import Flag
from daily_batch.domain.contract import MESSAGES, REJECTS
from daily_batch.domain.keys import analytics_folder
from daily_batch.domain.quality import CheckResult
from daily_batch.domain.run import Layout, TableFormat
from daily_batch.errors import TerminalError

# A smaller share is shown as smaller than this, so that only zero is shown as zero.
MIN_PERCENT = 0.1

Status = Literal["COMPLETED", "COMPLETED_WITH_REJECTS", "FAILED"]


@dataclass(frozen=True, kw_only=True)
class Objects:
    """Counts of the objects that were listed; `bytes` is the stored size of those in the manifest.

    `ignored` objects are not data by their names, `erased` ones lie in the folder of an erased user or room and were
    not read; older receipts do not have these counts.
    """

    listed: int
    read: int
    unreadable: int
    ignored: int = 0
    erased: int = 0
    bytes: int

    @property
    def in_manifest(self) -> int:
        """The number of objects in the manifest."""
        return self.listed - self.ignored


@dataclass(frozen=True, kw_only=True)
class Records:
    """Records of the objects that were read; each is counted in exactly one outcome.

    `erased` ones are of an erased user or room; older receipts do not have this count.
    """

    seen: int
    written: int
    duplicates: int
    superseded: int
    rejected: int
    other_day: int
    empty: int
    erased: int = 0


@dataclass(frozen=True, kw_only=True)
class TableCounts:
    """The day's part of one table; `version` is the Delta table's version, None for Parquet."""

    rows: int
    files: int
    bytes: int
    version: int | None


@dataclass(frozen=True, kw_only=True)
class Erased:
    """Rows by table that a later erasure removed from the day; the receipt's other counts stay those of the run."""

    erasure: str
    rows: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Shrink:
    """An allowed loss of published rows: who allowed it, and the counts before; `objects` is from the last receipt."""

    by: str
    messages: int
    objects: int | None = None


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """The receipt of one run of one tenant-day, with the fields of its JSON.

    Attributes:
        processed_at: When the run began, as in the tables, in ISO 8601 and UTC.
        rejects: Rejected records by reason; superseded records and unreadable objects have counters of their own.
        unknown_fields: The most frequent names of fields in `extras`, each with its messages; plain names only.
        other_unknown_fields: The sum of the messages over all other names.
        quality: The result of each rule that applies to the tenant.
        erased: Later erasures. Absent from the JSON if empty, as are the next two.
        overflows: By table, the number of rows whose sum of `tokens_used` is null because it does not fit its column.
        shrink: The allowed loss of published rows.
    """

    tenant: str
    date: str
    run_id: str
    processed_at: str = ""
    status: Status
    runner: str
    format: TableFormat
    layout: Layout
    objects: Objects
    records: Records
    rejects: Mapping[str, int]
    flags: Mapping[str, int]
    unknown_fields: Mapping[str, int] = field(default_factory=dict)
    other_unknown_fields: int = 0
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
    """Return the status of a run whose sums hold.

    Superseded records do not count as rejects: a later version of the same message is published.
    """
    clean = records.rejected == objects.unreadable == 0
    return "COMPLETED" if clean else "COMPLETED_WITH_REJECTS"


def check_sums(receipt: Receipt) -> None:
    """Check that every object and record is accounted for; skip tables that are not in the receipt yet.

    Raises:
        TerminalError: A sum does not hold; the message names it and its terms.
    """
    objects, records = receipt.objects, receipt.records
    parts = {"read": objects.read, "unreadable": objects.unreadable, "ignored": objects.ignored}
    parts["erased"] = objects.erased
    check_sum(receipt, "objects.listed", objects.listed, parts)
    outcomes = {name: count for name, count in asdict(records).items() if name != "seen"}
    check_sum(receipt, "records.seen", records.seen, outcomes)
    check_sum(receipt, "records.rejected", records.rejected, receipt.rejects)
    if MESSAGES.name in receipt.tables:
        rows = receipt.tables[MESSAGES.name].rows
        check_sum(receipt, "tables.messages.rows", rows, {"written": records.written})
    if REJECTS.name in receipt.tables:
        evidence = {
            "rejected": records.rejected,
            "superseded": records.superseded,
            "unreadable": objects.unreadable,
            "copies": receipt.flags.get(Flag.REPLACED_SURROGATE, 0),
        }
        check_sum(receipt, "tables.rejects.rows", receipt.tables[REJECTS.name].rows, evidence)


def describe_loss(receipt: Receipt) -> str | None:
    """Return which objects and records of a published day are not in `messages`, with their share; None if none."""
    objects, records = receipt.objects, receipt.records
    lost = []
    if objects.unreadable:
        lost.append(describe_unreadable(objects.unreadable, objects.in_manifest))
    if records.rejected:
        reasons = ", ".join(f"{name} {count:,}" for name, count in receipt.rejects.items())
        share = format_share(records.rejected, records.seen)
        lost.append(f"{records.rejected:,} of {records.seen:,} records ({share}) rejected ({reasons})")
    return "; ".join(lost) or None


def loss_warning(receipt: Receipt) -> str | None:
    """Return the same as a warning with the next step."""
    lost = describe_loss(receipt)
    step = "look up source_key and reason in rejects, correct the data at its source and run the day again"
    return f"{lost}. Next step: {step} (docs/runbooks/reject-percent.md)" if lost else None


def describe_unreadable(unreadable: int, objects: int | None) -> str:
    """Return how many objects of a day could not be read; without their share if the number of objects is unknown."""
    if not objects:
        return f"{unreadable:,} objects could not be read"
    return f"{unreadable:,} of {objects:,} objects ({format_share(unreadable, objects)}) could not be read"


def format_share(count: int, whole: int) -> str:
    """Return a count as a percentage; only zero is shown as zero."""
    percent = f"{100 * count / whole if whole else 0.0:.1f}%"
    return f"<{MIN_PERCENT}%" if count and percent == "0.0%" else percent


def to_dict(receipt: Receipt) -> dict[str, Any]:
    """Return the receipt as plain values, without optional fields that are empty."""
    values = asdict(receipt)
    return {name: value for name, value in values.items() if value or name not in ("erased", "overflows", "shrink")}


def to_json(receipt: Receipt) -> str:
    """Return the receipt as one line of JSON, without escapes of non-ASCII text."""
    return to_line(to_dict(receipt))


def to_line(values: Mapping[str, Any]) -> str:
    """Return plain values as one line of JSON: query engines read a folder of such files as a table."""
    return json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n"


def receipt_key(tenant: str, day: date, run_id: str) -> str:
    """Return the receipt's key, relative to the output root."""
    return f"{analytics_folder(tenant)}/_receipts/{day.isoformat()}/{run_id}.json"


def check_sum(receipt: Receipt, name: str, total: int, terms: Mapping[str, int]) -> None:
    """Check that a total is the sum of its terms.

    Raises:
        TerminalError: It is not; the message names it and its terms.
    """
    if total == sum(terms.values()):
        return
    sum_text = " + ".join(f"{term} {count}" for term, count in terms.items()) or "nothing"
    raise TerminalError(
        f"{name} is {total}, but {sum_text} is {sum(terms.values())} (run {receipt.run_id})",
        next_step="nothing was published; keep the run's log and report a defect",
        tenant=receipt.tenant,
        day=receipt.date,
    )

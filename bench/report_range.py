"""Generate ledger entries and receipts of fictitious tenant-days from a seed, for a report to show.

Each receipt's sums hold, but none comes from a run; the tenants are named example-….
"""

import json
import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any

from daily_batch.domain.calendar import format_timestamp
from daily_batch.domain.quality import CheckResult
from daily_batch.domain.receipt import Objects, Receipt, Records, check_sums, decide_status, receipt_key, to_json
from daily_batch.ledger.entry import Entry
from daily_batch.ledger.item_codec import to_item
from daily_batch.metadata.sqlite import SqliteStore

JST = timezone(timedelta(hours=9))
REASONS = {"invalid_json": 6, "invalid_timestamp": 5, "invalid_utf8": 3, "invalid_id": 2, "duplicate_key": 1}
FAILED = (
    "412 of 950 records are rejected, more than max_reject_ratio 0.2 allows."
    " Next step: look at the input, or raise max_reject_ratio."
)


def write_range(output: Path, tenants: Sequence[str], dates: Sequence[date], *, seed: int = 1) -> list[Receipt]:
    """Write a ledger and receipts below an output root, and return the receipts."""
    rng = random.Random(seed)
    receipts: list[Receipt] = []
    entries: list[Any] = []
    for index, tenant in enumerate(tenants):
        typical = round(10 ** rng.uniform(2.6, 5.4))
        for day in dates:
            receipt = make_receipt(tenant, day, rng, typical=typical, runner="spark" if typical > 60_000 else "local")
            file = output / receipt_key(tenant, day, receipt.run_id)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(to_json(receipt), encoding="utf-8")
            receipts.append(receipt)
            entries += _apply_problems(make_entry(receipt), index, (dates[-1] - day).days)
    _write_ledger(output / "makoto-ledger.sqlite", entries)
    return receipts


def _write_ledger(file: Path, entries: Sequence[Entry]) -> None:
    """Write all entries in one transaction; a transaction per entry would wait for the disk each time."""
    SqliteStore(file).put(to_item(entries[0]), expected=None)
    items = [to_item(entry) for entry in entries[1:]]
    rows = [(item["PK"], item["SK"], 1, json.dumps(item)) for item in items]
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executemany("INSERT INTO metadata VALUES (?, ?, ?, ?)", rows)


def make_receipt(tenant: str, day: date, rng: random.Random, *, typical: int, runner: str) -> Receipt:
    """Return a receipt whose sums hold: fewer messages at the weekend, a few rejects, and rarely an anomaly."""
    seen = round(typical * (0.4 if day.weekday() > 4 else 1.0) * rng.uniform(0.85, 1.15))
    seen *= 8 if rng.random() < 0.01 else 1
    factor = rng.choices([0, 2, 25], [60, 35, 5])[0]
    rejects = {name: rng.randrange(factor * weight + 1) for name, weight in REASONS.items()} if factor else {}
    rejects = {name: count for name, count in rejects.items() if count}
    rejected, duplicates, superseded = sum(rejects.values()), seen // 200, seen // 900
    written = seen - rejected - duplicates - superseded
    unreadable = int(rng.random() < 0.01)
    total = 3e-5 * seen + (18 if runner == "spark" else 0.4)
    seconds = {
        "manifest": 0.1 * total,
        "intake": 0.5 * total,
        "clean": 0.3 * total,
        "publish": 0.1 * total,
        "total": total,
    }
    objects = Objects(listed=9, read=9 - unreadable, unreadable=unreadable, bytes=171 * seen)
    records = Records(
        seen=seen,
        written=written,
        duplicates=duplicates,
        superseded=superseded,
        rejected=rejected,
        other_day=0,
        empty=0,
    )
    late = round(rng.uniform(0.0, 0.012), 4)
    receipt = Receipt(
        tenant=tenant,
        date=day.isoformat(),
        run_id=f"{day:%Y%m%d}T170000Z-{rng.getrandbits(32):08x}",
        status=decide_status(objects=objects, records=replace(records, superseded=0)),
        runner=runner,
        format="delta",
        layout="export",
        objects=objects,
        records=records,
        rejects=rejects,
        flags={},
        tables={},
        seconds={name: round(spent, 3) for name, spent in seconds.items()},
        input="generated",
        output="generated",
        fingerprint="generated",
        quality=(CheckResult(rule="max_late", limit=0.01, measured=late, severity="warn", passed=late <= 0.01),)
        if tenant_number(tenant) == 3
        else (),
    )
    check_sums(receipt)
    return receipt


def tenant_number(tenant: str) -> int:
    """Return the number at the end of a generated tenant's name."""
    return int(tenant.rpartition("-")[2])


def make_entry(receipt: Receipt) -> Entry:
    """Return the ledger entry of the day that a receipt reports as published."""
    day = date.fromisoformat(receipt.date)
    processed_at = datetime.combine(day + timedelta(days=1), time(2, 10), tzinfo=JST)
    return Entry(
        tenant=receipt.tenant,
        day=day,
        status=receipt.status,
        message_count=receipt.records.written,
        output_path="generated",
        processed_at=format_timestamp(processed_at),
        token=1,
        attempts=1,
        run_id=receipt.run_id,
        runner=receipt.runner,
        rejected=receipt.records.rejected,
        unreadable=receipt.objects.unreadable,
        objects=receipt.objects.in_manifest,
        receipt=receipt_key(receipt.tenant, day, receipt.run_id),
        seconds=round(receipt.seconds["total"]),
        cost_usd=0.031 if receipt.runner == "spark" else None,
        updated_at=format_timestamp(processed_at),
    )


def _apply_problems(entry: Entry, index: int, days_ago: int) -> Iterator[Entry]:
    """Add problems: the fifth tenant's last day failed, and the eighth tenant's last two days never ran."""
    if index == 4 and days_ago == 0:
        yield replace(entry, status="FAILED", attempts=3, error=FAILED, retryable=False)
    elif not (index == 7 and days_ago < 2):
        yield entry

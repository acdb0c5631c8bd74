"""Decide whether a day may be published: the audit of Write-Audit-Publish, and the only place that decides it.

Pure: takes what the run counted, what is published already and the limits; returns the receipt or raises.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from daily_batch.domain.quality import evaluate, raise_for_failures
from daily_batch.domain.quality_rules import Rule
from daily_batch.domain.receipt import Receipt, Shrink, check_sums
from daily_batch.errors import TerminalError
from daily_batch.pipeline.publish.result import PublishedDay

GUIDE = "docs/runbooks/day-not-published.md"


@dataclass(frozen=True, kw_only=True)
class AuditLimits:
    """The settings `max_reject_ratio`, `max_unreadable_ratio` and `min_rows_ratio`."""

    max_reject_ratio: float
    max_unreadable_ratio: float
    min_rows_ratio: float


def audit(
    receipt: Receipt,
    *,
    rules: Mapping[str, Rule],
    measured: Mapping[str, float | None],
    limits: AuditLimits,
    published: PublishedDay,
    allow_shrink: str,
) -> Receipt:
    """Return the receipt of a day that may be published, with the results of its quality rules.

    Args:
        published: The day as readers see it now.
        allow_shrink: Who allows the day to lose rows; empty if nobody does.

    Raises:
        TerminalError: A sum does not hold, too much of the day is lost, a rule of severity `fail` is broken, or
            published rows would be lost without permission.
    """
    check_sums(receipt)
    audited = replace(receipt, quality=evaluate(rules, measured))
    _refuse_loss(audited, limits)
    raise_for_failures(audited.quality, tenant=receipt.tenant, day=receipt.date)
    reason = find_shrink(audited, published, min_rows_ratio=limits.min_rows_ratio)
    if reason is None:
        return audited
    if not allow_shrink:
        raise _refused(
            audited,
            f"the day would lose rows that are published: {reason}",
            f"check the input and bring back what is gone; if the loss is meant, run it with --allow-shrink ({GUIDE})",
        )
    last = published.receipt
    shrink = Shrink(by=allow_shrink, messages=published.messages, objects=last.objects.listed if last else None)
    return replace(audited, shrink=shrink)


def find_shrink(receipt: Receipt, published: PublishedDay, *, min_rows_ratio: float) -> str | None:
    """Return what a published day would lose by this run; None if it would lose nothing that matters."""
    if not (published.messages or published.rejects):
        return None
    objects, written = receipt.objects, receipt.records.written
    if not objects.in_manifest:
        return f"the input holds no object of it, and {published.messages:,} messages are published"
    # What an erasure leaves out is no loss.
    if written + receipt.records.erased + objects.erased < min_rows_ratio * published.messages:
        return f"{written:,} messages instead of {published.messages:,}, less than min_rows_ratio {min_rows_ratio:g}"
    last = published.receipt
    # After an erasure, fewer objects are expected. After a change of layout the counts do not compare: an export holds
    # in a few objects what were many.
    if last is None or last.erased or last.layout != receipt.layout:
        return None
    before, records = last.objects, receipt.records
    gone = _count_gone((objects.listed, objects.erased), (before.listed, before.erased))
    unseen = _count_gone((records.seen, records.erased), (last.records.seen, last.records.erased))
    if gone > 0 and (written < published.messages or unseen > 0):
        return f"{gone:,} of the {before.listed:,} objects of run {last.run_id} are gone"
    return None


def _count_gone(now: tuple[int, int], before: tuple[int, int]) -> int:
    """Return how much of a count is gone, given how much of it is erased; what is erased may be gone or not."""
    (count, erased), (count_before, erased_before) = now, before
    return (count_before - max(erased, erased_before)) - (count - erased)


def _refuse_loss(receipt: Receipt, limits: AuditLimits) -> None:
    """Refuse a day with too many unreadable objects or rejected records: more likely its input is the wrong one."""
    objects, records = receipt.objects, receipt.records
    _refuse_share(
        receipt, objects.unreadable, objects.in_manifest, "objects cannot be read", "max_unreadable_ratio", limits
    )
    _refuse_share(receipt, records.rejected, records.seen, "records are rejected", "max_reject_ratio", limits)


def _refuse_share(receipt: Receipt, bad: int, whole: int, what: str, setting: str, limits: AuditLimits) -> None:
    limit: float = getattr(limits, setting)
    if bad and limit < 1 and bad >= limit * whole:
        reasons = ", ".join(f"{name} {count:,}" for name, count in receipt.rejects.items())
        raise _refused(
            receipt,
            f"{bad:,} of {whole:,} {what} ({bad / whole:.1%}), and {setting} is {limit:g}"
            + (f"; records were rejected for {reasons}" if reasons else ""),
            f"look at the input ({GUIDE}), or raise {setting}",
        )


def _refused(receipt: Receipt, what: str, next_step: str) -> TerminalError:
    return TerminalError(f"{what}; nothing was published", next_step=next_step, tenant=receipt.tenant, day=receipt.date)

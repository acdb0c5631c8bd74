"""The audit: limits on loss, loss of published rows, and who may allow it. Counts in, receipt or error out."""

from dataclasses import replace
from typing import Any

import pytest

from daily_batch.domain.receipt import Erased, Objects, Receipt, Records, Shrink, TableCounts, loss_warning, to_dict
from daily_batch.errors import TerminalError
from daily_batch.pipeline.audit import AuditLimits, audit, find_shrink
from daily_batch.pipeline.publish.result import PublishedDay

LIMITS = AuditLimits(max_reject_ratio=0.5, max_unreadable_ratio=0.5, min_rows_ratio=0.5)


def receipt_of(
    *, written: int = 0, rejected: int = 0, read: int = 1, unreadable: int = 0, ignored: int = 0, **more: Any
) -> Receipt:
    """Return a receipt whose sums hold."""
    records = Records(
        seen=written + rejected, written=written, duplicates=0, superseded=0, rejected=rejected, other_day=0, empty=0
    )
    rows = {"messages": written, "rejects": rejected + unreadable}
    values: dict[str, Any] = {
        "tenant": "acme",
        "date": "2025-08-12",
        "run_id": "now",
        "status": "COMPLETED",
        "runner": "local",
        "format": "delta",
        "layout": "export",
        "objects": Objects(
            listed=read + unreadable + ignored, read=read, unreadable=unreadable, ignored=ignored, bytes=9
        ),
        "records": records,
        "rejects": {"invalid_json": rejected} if rejected else {},
        "flags": {},
        "tables": {name: TableCounts(rows=count, files=1, bytes=1, version=1) for name, count in rows.items()},
        "seconds": {},
        "input": "in",
        "output": "out",
        "fingerprint": "f",
    }
    return Receipt(**{**values, **more})


def judge(receipt: Receipt, published: PublishedDay | None = None, *, by: str = "", **limits: float) -> Receipt:
    return audit(
        receipt,
        rules={},
        measured={},
        limits=replace(LIMITS, **limits),
        published=published or PublishedDay(),
        allow_shrink=by,
    )


@pytest.mark.parametrize(
    ("loss", "setting"),
    [
        ({"read": 1, "unreadable": 1, "written": 5}, "max_unreadable_ratio"),
        ({"read": 0, "unreadable": 1}, "max_unreadable_ratio"),
        ({"written": 2, "rejected": 2}, "max_reject_ratio"),
        ({"written": 0, "rejected": 1}, "max_reject_ratio"),
    ],
)
def test_losing_half_of_a_day_is_refused_unless_its_limit_allows_it(loss: dict[str, int], setting: str) -> None:
    receipt = receipt_of(**loss)
    with pytest.raises(TerminalError, match=f"{setting} is 0.5.*nothing was published") as refused:
        judge(receipt)
    assert (refused.value.exit_code, refused.value.tenant, refused.value.day) == (3, "acme", "2025-08-12")
    assert setting in refused.value.next_step
    assert judge(receipt, **{setting: 0.99 if loss.get("written") else 1.0}).records == receipt.records


def test_a_smaller_loss_is_published_with_a_warning_and_the_next_step() -> None:
    receipt = judge(receipt_of(read=2, unreadable=1, written=3, rejected=1))
    text = str(loss_warning(receipt))
    for part in ("1 of 3 objects (33.3%)", "1 of 4 records (25.0%)", "invalid_json 1", "Next step: "):
        assert part in text
    assert loss_warning(judge(receipt_of(written=3))) is None


def test_a_limit_of_0_passes_only_a_day_without_loss() -> None:
    assert judge(receipt_of(written=1), max_reject_ratio=0, max_unreadable_ratio=0).records.written == 1
    with pytest.raises(TerminalError, match="max_reject_ratio is 0"):
        judge(receipt_of(written=99, rejected=1), max_reject_ratio=0)


BEFORE = receipt_of(written=100, read=10, run_id="then")
STANDING = PublishedDay(messages=100, receipt=BEFORE)
SHRINKING = {
    "no object": (receipt_of(read=0), STANDING, "holds no object of it, and 100 messages"),
    "no object, without a receipt": (receipt_of(read=0), PublishedDay(messages=100), "holds no object"),
    "no object, and only rejects before": (receipt_of(read=0), PublishedDay(rejects=1), "holds no object"),
    "fewer than half of the rows": (receipt_of(written=49, read=10), STANDING, "49 messages instead of 100"),
    "nothing but blank lines": (receipt_of(read=10), PublishedDay(messages=1), "0 messages instead of 1"),
    "an object that is gone": (receipt_of(written=99, read=9), STANDING, "1 of the 10 objects of run then"),
    "an object that held rejects": (
        receipt_of(written=100, read=9),
        PublishedDay(messages=100, receipt=receipt_of(written=100, rejected=1, read=10)),
        "1 of the 10 objects",
    ),
}


@pytest.mark.parametrize("case", SHRINKING.values(), ids=SHRINKING)
def test_losing_published_rows_is_refused_unless_allowed_and_the_receipt_names_who_allowed_it(
    case: tuple[Any, Any, str],
) -> None:
    receipt, published, text = case
    with pytest.raises(TerminalError, match="would lose rows that are published") as refused:
        judge(receipt, published)
    assert text in refused.value.what
    assert "--allow-shrink" in refused.value.next_step
    allowed = judge(receipt, published, by="alice")
    objects = published.receipt.objects.listed if published.receipt else None
    assert allowed.shrink == Shrink(by="alice", messages=published.messages, objects=objects)
    assert to_dict(allowed)["shrink"]["by"] == "alice"


KEPT = {
    "a first day of nothing": (receipt_of(read=0), PublishedDay()),
    "a day that stays empty": (receipt_of(read=0), PublishedDay(receipt=receipt_of(read=0))),
    "exactly half of the rows": (receipt_of(written=50, read=10), STANDING),
    "more objects and more rows": (receipt_of(written=101, read=11), STANDING),
    "fewer rows of as many objects": (receipt_of(written=88, read=9, unreadable=1), STANDING),
    "the same rows in fewer files": (receipt_of(written=100, read=2), STANDING),
    "objects that are ignored now": (receipt_of(written=99, read=9, ignored=1), STANDING),
    "an export in the place of messages": (
        receipt_of(written=99, read=1),
        replace(STANDING, receipt=replace(BEFORE, layout="messages")),
    ),
    "a person's objects gone after an erasure": (
        receipt_of(written=90, read=5),
        PublishedDay(messages=90, receipt=replace(BEFORE, erased=(Erased(erasure="e", rows={"messages": 10}),))),
    ),
}


@pytest.mark.parametrize("case", KEPT.values(), ids=KEPT)
def test_a_day_that_loses_nothing_needs_no_permission(case: tuple[Receipt, PublishedDay]) -> None:
    assert judge(*case).shrink is None
    assert judge(*case, by="alice").shrink is None


def test_the_ratio_is_a_setting_but_the_loss_of_the_last_object_is_always_refused() -> None:
    assert find_shrink(receipt_of(written=1, read=10), STANDING, min_rows_ratio=0) is None
    assert find_shrink(receipt_of(written=99, read=10), STANDING, min_rows_ratio=1)
    assert find_shrink(receipt_of(read=0), STANDING, min_rows_ratio=0)


def test_a_wrong_sum_is_reported_first() -> None:
    receipt = receipt_of(read=0)
    with pytest.raises(TerminalError, match=r"records\.seen"):
        judge(replace(receipt, records=replace(receipt.records, seen=1)), STANDING, by="alice")

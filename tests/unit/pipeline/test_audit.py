"""The audit: limits on loss, loss of published rows, and permission for it."""

from dataclasses import replace
from typing import Any

import pytest

from daily_batch.domain.receipt import Erased, Objects, Receipt, Records, Shrink, TableCounts, loss_warning, to_dict
from daily_batch.errors import TerminalError
from daily_batch.pipeline.audit import AuditLimits, audit, find_shrink
from daily_batch.pipeline.publish.result import PublishedDay

LIMITS = AuditLimits(max_reject_ratio=0.5, max_unreadable_ratio=0.5, min_rows_ratio=0.5)


def make_receipt(
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


def with_erased(receipt: Receipt, objects: int, records: int) -> Receipt:
    """Return the receipt of a day with so many more objects and records, which the run left out."""
    found, counts = receipt.objects, receipt.records
    return replace(
        receipt,
        objects=replace(found, listed=found.listed + objects, erased=objects),
        records=replace(counts, seen=counts.seen + records, erased=records),
    )


def run_audit(receipt: Receipt, published: PublishedDay | None = None, *, by: str = "", **limits: float) -> Receipt:
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
    receipt = make_receipt(**loss)
    with pytest.raises(TerminalError, match=f"{setting} is 0.5.*nothing was published") as refused:
        run_audit(receipt)
    assert (refused.value.exit_code, refused.value.tenant, refused.value.day) == (3, "acme", "2025-08-12")
    assert setting in refused.value.next_step
    assert run_audit(receipt, **{setting: 0.99 if loss.get("written") else 1.0}).records == receipt.records


def test_smaller_loss_is_published_with_a_warning_and_the_next_step() -> None:
    receipt = run_audit(make_receipt(read=2, unreadable=1, written=3, rejected=1))
    text = str(loss_warning(receipt))
    for part in ("1 of 3 objects (33.3%)", "1 of 4 records (25.0%)", "invalid_json 1", "Next step: "):
        assert part in text
    assert loss_warning(run_audit(make_receipt(written=3))) is None


def test_limit_of_0_passes_only_a_day_without_loss() -> None:
    assert run_audit(make_receipt(written=1), max_reject_ratio=0, max_unreadable_ratio=0).records.written == 1
    with pytest.raises(TerminalError, match="max_reject_ratio is 0"):
        run_audit(make_receipt(written=99, rejected=1), max_reject_ratio=0)


PREVIOUS = make_receipt(written=100, read=10, run_id="then")
PUBLISHED = PublishedDay(messages=100, receipt=PREVIOUS)
SHRINKING = {
    "no object": (make_receipt(read=0), PUBLISHED, "holds no object of it, and 100 messages"),
    "no object, without a receipt": (make_receipt(read=0), PublishedDay(messages=100), "holds no object"),
    "no object, and only rejects before": (make_receipt(read=0), PublishedDay(rejects=1), "holds no object"),
    "fewer than half of the rows": (make_receipt(written=49, read=10), PUBLISHED, "49 messages instead of 100"),
    "nothing but blank lines": (make_receipt(read=10), PublishedDay(messages=1), "0 messages instead of 1"),
    "an object that is gone": (make_receipt(written=99, read=9), PUBLISHED, "1 of the 10 objects of run then"),
    "an object of others that is gone beside erased ones": (
        with_erased(make_receipt(written=80, read=8), 1, 10),
        PublishedDay(messages=90, receipt=with_erased(make_receipt(written=90, read=9), 1, 10)),
        "1 of the 10 objects",
    ),
    "an object that held rejects": (
        make_receipt(written=100, read=9),
        PublishedDay(messages=100, receipt=make_receipt(written=100, rejected=1, read=10)),
        "1 of the 10 objects",
    ),
}


@pytest.mark.parametrize("case", SHRINKING.values(), ids=SHRINKING)
def test_loss_of_published_rows_needs_a_named_permission(
    case: tuple[Any, Any, str],
) -> None:
    receipt, published, text = case
    with pytest.raises(TerminalError, match="would lose rows that are published") as refused:
        run_audit(receipt, published)
    assert text in refused.value.what
    assert "--allow-shrink" in refused.value.next_step
    allowed = run_audit(receipt, published, by="alice")
    objects = published.receipt.objects.listed if published.receipt else None
    assert allowed.shrink == Shrink(by="alice", messages=published.messages, objects=objects)
    assert to_dict(allowed)["shrink"]["by"] == "alice"


NO_LOSS = {
    "a first day of nothing": (make_receipt(read=0), PublishedDay()),
    "a day that stays empty": (make_receipt(read=0), PublishedDay(receipt=make_receipt(read=0))),
    "exactly half of the rows": (make_receipt(written=50, read=10), PUBLISHED),
    "more objects and more rows": (make_receipt(written=101, read=11), PUBLISHED),
    "fewer rows of as many objects": (make_receipt(written=88, read=9, unreadable=1), PUBLISHED),
    "the same rows in fewer files": (make_receipt(written=100, read=2), PUBLISHED),
    "objects that are ignored now": (make_receipt(written=99, read=9, ignored=1), PUBLISHED),
    "an export in the place of messages": (
        make_receipt(written=99, read=1),
        replace(PUBLISHED, receipt=replace(PREVIOUS, layout="messages")),
    ),
    "a person's objects gone after an erasure": (
        make_receipt(written=90, read=5),
        PublishedDay(messages=90, receipt=replace(PREVIOUS, erased=(Erased(erasure="e", rows={"messages": 10}),))),
    ),
    "a person's objects that this run leaves out": (with_erased(make_receipt(written=40, read=4), 6, 60), PUBLISHED),
    "objects left out that are gone now": (
        make_receipt(written=90, read=9),
        PublishedDay(messages=90, receipt=with_erased(make_receipt(written=90, read=9), 1, 10)),
    ),
    "objects left out before and now": (
        with_erased(make_receipt(written=90, read=9), 1, 10),
        PublishedDay(messages=90, receipt=with_erased(make_receipt(written=90, read=9), 1, 10)),
    ),
}


@pytest.mark.parametrize("case", NO_LOSS.values(), ids=NO_LOSS)
def test_day_that_loses_nothing_needs_no_permission(case: tuple[Receipt, PublishedDay]) -> None:
    assert run_audit(*case).shrink is None
    assert run_audit(*case, by="alice").shrink is None


def test_loss_of_the_last_object_is_refused_at_any_ratio() -> None:
    assert find_shrink(make_receipt(written=1, read=10), PUBLISHED, min_rows_ratio=0) is None
    assert find_shrink(make_receipt(written=99, read=10), PUBLISHED, min_rows_ratio=1)
    assert find_shrink(make_receipt(read=0), PUBLISHED, min_rows_ratio=0)


def test_wrong_sum_is_reported_first() -> None:
    receipt = make_receipt(read=0)
    with pytest.raises(TerminalError, match=r"records\.seen"):
        run_audit(replace(receipt, records=replace(receipt.records, seen=1)), PUBLISHED, by="alice")

"""New fields: names that no day of the four weeks before had."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

import pytest

from daily_batch.domain.receipt import Receipt
from daily_batch.errors import TerminalError
from daily_batch.ledger import Entry, Ledger
from daily_batch.metadata import keys
from daily_batch.orchestration.day_status import describe
from daily_batch.orchestration.new_fields import complete_day, find_new_fields
from tests.support.ledger_doubles import DAY, Clock, MemoryStore, make_receipt


def entry(back: int, names: Sequence[str] | None) -> Entry:
    """Return a day that is `back` days before DAY; None for one that was never published."""
    fields = None if names is None else tuple(names)
    return Entry(tenant="acme", day=DAY - timedelta(days=back), status="FAILED", unknown_fields=fields)


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([], ()),
        ([entry(1, None)], ()),
        ([entry(0, ["x"]), entry(-1, ["x"])], ()),
        ([entry(29, ["a", "b"])], ()),
        ([entry(1, [])], ("a", "b")),
        ([entry(28, ["b"]), entry(1, None)], ("a",)),
        ([entry(29, ["a"]), entry(28, ["b"])], ("a",)),
        ([entry(2, ["a"]), entry(1, ["b"])], ()),
    ],
    ids=[
        *("no day", "never published", "the day itself and later", "longer ago"),
        *("none of them", "last day", "first week", "any of them"),
    ],
)
def test_field_is_new_that_no_published_day_of_four_weeks_had(history: list[Entry], expected: tuple[str, ...]) -> None:
    assert find_new_fields(["b", "a"], history, DAY) == expected


def complete(ledger: Ledger, day: date, **names: int) -> Entry:
    """Complete a day whose messages have these fields, and return its entry."""
    lease = ledger.acquire("acme", day, owner="test", run_id=f"run-{day}")
    complete_day(ledger, lease, make_day(day, names), receipt_key="key", output_path="out", bill=None)
    found = ledger.find("acme", day)
    assert found is not None
    return found


def make_day(day: date, names: dict[str, int]) -> Receipt:
    return replace(make_receipt(run_id=f"run-{day}"), date=day.isoformat(), unknown_fields=names)


def test_ledger_has_the_names_of_each_day_and_the_status_shows_new_ones() -> None:
    ledger = Ledger(store=MemoryStore(), clock=Clock())
    first = complete(ledger, DAY - timedelta(days=1), client=5)
    assert (first.unknown_fields, first.new_fields) == (("client",), ())
    second = complete(ledger, DAY, client=5, theme=1, locale=2)
    assert (second.unknown_fields, second.new_fields) == (("client", "theme", "locale"), ("locale", "theme"))
    assert describe(second, second.status, now=Clock()()) == "new fields: locale, theme"
    again = complete(ledger, DAY, client=5, theme=1)
    assert again.new_fields == ("theme",)
    assert complete(ledger, DAY + timedelta(days=1), theme=9).new_fields == ()


def test_invalid_item_of_an_earlier_day_does_not_fail_the_day() -> None:
    store = MemoryStore()
    ledger = Ledger(store=store, clock=Clock())
    complete(ledger, DAY - timedelta(days=1), client=5)
    stored = store.get(keys.days_of("acme"), keys.day_key(DAY - timedelta(days=1)))
    assert stored is not None
    store.put({**stored.item, "objects": "many"}, expected=stored.version)
    with pytest.raises(TerminalError):
        ledger.find("acme", DAY - timedelta(days=1))
    published = complete(ledger, DAY, client=5)
    assert (published.status, published.new_fields) == ("COMPLETED", None)
    assert published.receipt == "key"

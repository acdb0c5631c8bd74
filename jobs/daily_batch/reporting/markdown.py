"""The report as Markdown, for a pull request or a mail: plain tables, and nothing of the data's own markup."""

from collections.abc import Iterable, Iterator, Sequence

from daily_batch.orchestration.routing.costs import MonthCost
from daily_batch.reporting.days import DayFacts
from daily_batch.reporting.facts import Facts, add_up
from daily_batch.reporting.texts import (
    SIGNS,
    Texts,
    tell_headline,
    tell_oddities,
    tell_sign,
    tell_strays,
    tell_troubles,
)

MOST_ROWS = 50


def make_markdown(facts: Facts, texts: Texts, *, zone: str) -> str:
    """The report in GitHub's Markdown. Only tenants that are not all well get a row of the map."""
    return "\n".join(_write(facts, texts, zone)) + "\n"


def quote(text: str) -> str:
    """A text of the data as a code span, where no markup, no HTML and no mention counts, fit for a table's cell."""
    line = " ".join(text.split()).replace("`", "'").replace("|", "\\|")
    return f"`{line}`" if line else ""


def _write(facts: Facts, texts: Texts, zone: str) -> Iterator[str]:
    night = len(facts.dates) == 1
    yield f"# {texts('title_night' if night else 'title', first=facts.dates[0], last=facts.dates[-1])}"
    yield ""
    yield f"**{tell_headline(facts, texts)}**"
    yield ""
    yield texts("made", now=f"{facts.now:%Y-%m-%d %H:%M %Z}", zone=zone)
    if troubles := tell_troubles(facts, texts):
        yield from _section("need", texts)
        rows = (
            (quote(each.tenant), each.dates, texts(f"state.{each.state}"), quote(each.what), quote(each.next_step))
            for each in troubles[:MOST_ROWS]
        )
        yield from _table(_name(("tenant", "date", "state", "what", "next"), texts), rows)
        yield from _count_more(len(troubles), texts)
    if facts.odd:
        yield from _section("odd", texts)
        yield from _table(_name(("tenant", "date", "note"), texts), _list_odd(facts, texts))
        yield from _count_more(len(facts.odd), texts)
    for sentence in tell_strays(facts, texts):
        yield from ("", quote(sentence))
    yield from _section("map", texts)
    yield from _draw_map(facts, texts)
    yield from _section("volumes", texts)
    names = ("date", "messages", "rejected", "seconds", "predicted", "billed")
    yield from _table(_name(names, texts), _list_dates(facts), numbers=len(names) - 1)
    if dearest := facts.dearest:
        yield from _section("months", texts)
        yield from _table(_name(("tenant", "month", "days", "billed"), texts), _list_months(dearest), numbers=2)
        yield from _count_more(len(dearest), texts)
    total = add_up(facts.days)
    if facts.unknown:
        yield from ("", texts("note.unreceipted", count=facts.unknown))
    if total.rejects:
        yield from _section("rejects", texts)
        yield from _table(
            _name(("reason", "count"), texts),
            ((quote(reason), f"{count:,}") for reason, count in total.rejects.items()),
            numbers=1,
        )


def _section(name: str, texts: Texts) -> Iterator[str]:
    yield from ("", f"## {texts(f'section.{name}')}", "")


def _name(columns: Sequence[str], texts: Texts) -> list[str]:
    return [texts(f"column.{name}") for name in columns]


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int = 0) -> Iterator[str]:
    """A table whose last columns, so many of them, hold numbers."""
    yield f"| {' | '.join(columns)} |"
    yield f"|{'|'.join(['---'] * (len(columns) - numbers) + ['---:'] * numbers)}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _list_odd(facts: Facts, texts: Texts) -> Iterator[Sequence[str]]:
    for day in facts.odd[:MOST_ROWS]:
        yield quote(day.tenant), f"{day.day}", quote(tell_oddities(day, texts))


def _list_dates(facts: Facts) -> Iterator[Sequence[str]]:
    for day, sums in facts.by_date.items():
        seconds = sums.seconds.get("total", 0.0)
        counts = (f"{sums.messages:,}", f"{sums.rejected:,}", f"{seconds:,.1f}")
        billed = f"{sums.billed_usd:.4f}" if sums.billed_days else "-"
        yield f"{day}", *counts, f"{sums.predicted_usd:.4f}", billed


def _list_months(months: Sequence[MonthCost]) -> Iterator[tuple[str, ...]]:
    for each in months[:MOST_ROWS]:
        yield quote(each.tenant), each.month, f"{each.days - each.unknown}/{each.days}", f"{each.cost_usd:.4f}"


def _count_more(rows: int, texts: Texts) -> Iterator[str]:
    if rows > MOST_ROWS:
        yield from ("", texts("and_more", count=rows - MOST_ROWS))


def _draw_map(facts: Facts, texts: Texts) -> Iterator[str]:
    shown = {tenant: days for tenant, days in facts.by_tenant.items() if not all(map(_is_well, days))}
    states = add_up(facts.days).states
    yield ", ".join(f"{sign} {texts(f'state.{state}')}" for state, sign in SIGNS.items() if state in states)
    if shown:
        yield ""
        columns = [texts("column.tenant"), *(f"{day:%m-%d}" for day in facts.dates)]
        some = list(shown.items())[:MOST_ROWS]
        yield from _table(columns, ((quote(tenant), *map(tell_sign, days)) for tenant, days in some))
        yield from _count_more(len(shown), texts)
    if len(shown) < len(facts.tenants):
        yield from ("", texts("note.all_well", count=len(facts.tenants) - len(shown)))


def _is_well(day: DayFacts) -> bool:
    return day.is_done and not day.is_odd

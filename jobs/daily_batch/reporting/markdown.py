"""Render the report as Markdown, for a pull request or mail: plain tables, with all markup in the data escaped."""

from collections.abc import Iterable, Iterator, Sequence

from daily_batch.orchestration.routing.costs import MonthCost
from daily_batch.reporting.facts import DayFacts, Facts, add_up
from daily_batch.reporting.issues import Issue, describe_strays, list_issues
from daily_batch.reporting.texts import SIGNS, Texts, describe_warnings, make_headline, make_sign, make_title

MAX_ROWS = 50


def make_markdown(facts: Facts, texts: Texts, *, zone: str) -> str:
    """Return the report in GitHub-flavored Markdown; the map omits tenants without problems."""
    return "\n".join(_write(facts, texts, zone)) + "\n"


def quote(text: str) -> str:
    """Return a text as a code span for a table cell; within it, no markup, HTML or mention takes effect."""
    line = " ".join(text.split()).replace("`", "'").replace("|", "\\|")
    return f"`{line}`" if line else ""


def _write(facts: Facts, texts: Texts, zone: str) -> Iterator[str]:
    yield f"# {make_title(facts, texts)}"
    yield ""
    yield f"**{make_headline(facts, texts)}**"
    yield ""
    yield texts("made", now=f"{facts.now:%Y-%m-%d %H:%M %Z}", zone=zone)
    if issues := list_issues(facts, texts):
        yield from _section("attention", texts)
        rows = (_list_issue(issue, texts) for issue in issues[:MAX_ROWS])
        yield from _table(_name(("tenant", "date", "state", "what", "next"), texts), rows)
        yield from _count_more(len(issues), texts)
    if facts.anomalous:
        yield from _section("warnings", texts)
        yield from _table(_name(("tenant", "date", "note"), texts), _list_warnings(facts, texts))
        yield from _count_more(len(facts.anomalous), texts)
    for sentence, command in describe_strays(facts, texts):
        yield from ("", f"{quote(sentence)} {quote(command)}")
    yield from _section("map", texts)
    yield from _draw_map(facts, texts)
    yield from _section("volumes", texts)
    names = ("date", "messages", "rejected", "seconds", "predicted", "billed")
    yield from _table(_name(names, texts), _list_dates(facts), numbers=len(names) - 1)
    if months := facts.months_by_cost:
        yield from _section("months", texts)
        yield from _table(_name(("tenant", "month", "days", "billed"), texts), _list_months(months), numbers=2)
        yield from _count_more(len(months), texts)
    total = add_up(facts.days)
    if facts.without_receipt:
        yield from ("", texts("note.unreceipted", count=facts.without_receipt))
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
    """Yield the lines of a table; its last `numbers` columns are right-aligned."""
    yield f"| {' | '.join(columns)} |"
    yield f"|{'|'.join(['---'] * (len(columns) - numbers) + ['---:'] * numbers)}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _list_issue(issue: Issue, texts: Texts) -> Sequence[str]:
    dates = f"{issue.dates} ({texts('note.days', count=issue.days)})" if issue.days > 1 else issue.dates
    link = f"[{issue.runbook_name}]({issue.runbook})"
    again = f"{texts('next.again')} " if issue.state == "FAILED" else ""
    step = f"{quote(issue.next_step)} {again}{quote(issue.command)} {link}"
    return quote(issue.tenant), dates, texts(f"state.{issue.state}"), quote(issue.what), step


def _list_warnings(facts: Facts, texts: Texts) -> Iterator[Sequence[str]]:
    for day in facts.anomalous[:MAX_ROWS]:
        yield quote(day.tenant), f"{day.day}", quote(describe_warnings(day, texts))


def _list_dates(facts: Facts) -> Iterator[Sequence[str]]:
    for day, sums in facts.by_date.items():
        seconds = sums.seconds.get("total", 0.0)
        counts = (f"{sums.messages:,}", f"{sums.rejected:,}", f"{seconds:,.1f}")
        billed = f"{sums.billed_usd:.4f}" if sums.billed_days else "-"
        yield f"{day}", *counts, f"{sums.predicted_usd:.4f}", billed


def _list_months(months: Sequence[MonthCost]) -> Iterator[tuple[str, ...]]:
    for month in months[:MAX_ROWS]:
        known = f"{month.days - month.unknown}/{month.days}"
        yield quote(month.tenant), month.month, known, f"{month.cost_usd:.4f}"


def _count_more(rows: int, texts: Texts) -> Iterator[str]:
    if rows > MAX_ROWS:
        yield from ("", texts("and_more", count=rows - MAX_ROWS))


def _draw_map(facts: Facts, texts: Texts) -> Iterator[str]:
    shown = {tenant: days for tenant, days in facts.by_tenant.items() if not all(map(_is_well, days))}
    states = add_up(facts.days).states
    yield ", ".join(f"{sign} {texts(f'state.{state}')}" for state, sign in SIGNS.items() if state in states)
    if shown:
        yield ""
        columns = [texts("column.tenant"), *(f"{day:%m-%d}" for day in facts.dates)]
        first = list(shown.items())[:MAX_ROWS]
        yield from _table(columns, ((quote(tenant), *map(make_sign, days)) for tenant, days in first))
        yield from _count_more(len(shown), texts)
    if len(shown) < len(facts.tenants):
        yield from ("", texts("note.all_well", count=len(facts.tenants) - len(shown)))


def _is_well(day: DayFacts) -> bool:
    return day.is_done and not day.is_anomalous

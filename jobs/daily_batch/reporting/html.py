"""The report as one HTML page that asks nothing of the network and needs no script."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from daily_batch.reporting.charts import draw_columns
from daily_batch.reporting.days import DayFacts
from daily_batch.reporting.facts import Facts, Totals, add_up
from daily_batch.reporting.texts import (
    SIGNS,
    Texts,
    tell_headline,
    tell_oddities,
    tell_sign,
    tell_strays,
    tell_troubles,
)

# Rows of a list on the page; `--json` has all.
MOST_ROWS = 200
MOST_MONTHS = 20
LEAST_USD = 0.000001
SLOWEST = 5
# Of reasons; what is left is one series more. The style sheet has as many colours.
MOST_SERIES = 6


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Columns over days, with a legend and their numbers: values by series, one for each date."""

    svg: Markup
    dates: Sequence[str]
    series: Mapping[str, Sequence[str]]


def make_page(facts: Facts, texts: Texts, *, zone: str) -> str:
    """The page of a report in the language of the texts."""
    total = add_up(facts.days)
    troubles, dearest = tell_troubles(facts, texts), facts.dearest
    return _template().render(
        t=texts,
        zone=zone,
        facts=facts,
        total=total,
        headline=tell_headline(facts, texts),
        signs=SIGNS,
        sign=tell_sign,
        kind=lambda state: state.replace(",", "").replace(" ", "-"),
        need=troubles[:MOST_ROWS],
        more_need=len(troubles) - MOST_ROWS,
        odd=[(day, tell_oddities(day, texts)) for day in facts.odd[:MOST_ROWS]],
        strays=tell_strays(facts, texts),
        more_odd=len(facts.odd) - MOST_ROWS,
        tenants=_order(facts),
        describe=lambda day: _describe(day, texts),
        outcomes={name: count for name, count in asdict(total.records).items() if name != "seen"},
        slowest=sorted(facts.days, key=lambda day: -day.seconds.get("total", 0.0))[:SLOWEST],
        months=dearest[:MOST_MONTHS],
        more_months=len(dearest) - MOST_MONTHS,
        figures=_draw(facts, texts),
        add_up=add_up,
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("daily_batch.reporting", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": "{:,}".format, "seconds": "{:,.1f}".format, "usd": show_usd}
    return environment.get_template("page.html.j2")


def show_usd(amount: float) -> str:
    """An amount that may be a small part of a cent; none is written as nothing unless it is."""
    if amount >= 1 or amount == 0:
        return f"{amount:,.2f}"
    return f"{amount:.6f}".rstrip("0") if amount >= LEAST_USD else f"<{LEAST_USD:.6f}"


def _show_count(number: float) -> str:
    """A count; between small ones an axis has parts."""
    return f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.1f}"


def _order(facts: Facts) -> dict[str, tuple[DayFacts, ...]]:
    """The tenants' days, those who need someone first."""
    rows = facts.by_tenant
    return dict(sorted(rows.items(), key=lambda row: (not any(day.needs_someone for day in row[1]), row[0])))


def _describe(day: DayFacts, texts: Texts) -> str:
    """A cell of the map in words."""
    parts = [f"{day.tenant} {day.day}", texts(f"state.{day.state}")]
    if day.messages is not None:
        parts.append(f"{texts('column.messages')} {day.messages:,}")
    if day.rejected:
        parts.append(f"{texts('column.rejected')} {day.rejected:,}")
    return " · ".join((*parts, tell_oddities(day, texts))).removesuffix(" · ")


def _draw(facts: Facts, texts: Texts) -> dict[str, Figure]:
    """The figures by section; one without any amount is left out, and so are all of a single night."""
    dates = facts.by_date
    labels = [f"{day:%m-%d}" for day in dates]
    return {
        name: _draw_one(series, labels, title=texts(f"section.{name}"), stacked=name != "cost", show=show)
        for name, (series, show) in _collect(list(dates.values()), texts)
        if len(dates) > 1 and any(map(any, series.values()))
    }


def _collect(
    days: Sequence[Totals], texts: Texts
) -> Iterator[tuple[str, tuple[dict[str, list[float]], Callable[[float], str]]]]:
    """What is drawn, by section: values by series, one for each day, and how they are written."""
    yield "volumes", ({texts("column.messages"): [float(day.messages) for day in days]}, _show_count)
    yield "rejects", (_by_name([day.rejects for day in days], other=texts("column.other")), _show_count)
    stages = [{name: spent for name, spent in day.seconds.items() if name != "total"} for day in days]
    yield "seconds", (_by_name(stages, other=texts("column.other")), "{:,.1f}".format)
    cost = {
        texts("column.predicted"): [day.predicted_usd for day in days],
        texts("column.billed"): [day.billed_usd for day in days],
    }
    yield "cost", (cost, show_usd)


def _by_name(tables: Sequence[Mapping[str, float]], *, other: str) -> dict[str, list[float]]:
    """A series for each of the names with the greatest sums, and one for the rest."""
    names = list(dict.fromkeys(name for table in tables for name in table))
    names.sort(key=lambda name: -sum(table.get(name, 0.0) for table in tables))
    kept, rest = names[:MOST_SERIES], names[MOST_SERIES:]
    series = {name: [float(table.get(name, 0.0)) for table in tables] for name in kept}
    if rest:
        series[other] = [float(sum(table.get(name, 0.0) for name in rest)) for table in tables]
    return series


def _draw_one(
    series: Mapping[str, Sequence[float]],
    labels: Sequence[str],
    *,
    title: str,
    stacked: bool,
    show: Callable[[float], str],
) -> Figure:
    svg = draw_columns(series, labels, title=title, stacked=stacked, show=show)
    shown = {name: [show(value) for value in values] for name, values in series.items()}
    return Figure(svg=Markup(svg), dates=labels, series=shown)  # noqa: S704 - an XML writer has escaped it

"""Render the report as one HTML page without scripts and external content.

pygal lays out the charts as SVG; page.css colors them, in light and dark mode.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from xml.etree import ElementTree

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup
from pygal import Bar, StackedBar

from daily_batch.domain.receipt import format_share
from daily_batch.reporting.facts import DayFacts, Facts, Totals, add_up
from daily_batch.reporting.issues import describe_strays, list_issues
from daily_batch.reporting.texts import (
    SIGNS,
    Texts,
    describe_warnings,
    make_headline,
    make_sign,
    make_title,
)

# Rows of a list on the page; `--json` has all.
MAX_ROWS = 200
MAX_MONTHS = 20
MIN_USD = 0.000001
SLOWEST_DAYS = 5
# Series of a chart; the rest is one more. page.css has as many colors.
MAX_SERIES = 6
WIDTH, HEIGHT = 720, 220
# More labels would overlap.
MAX_LABELS = 16
# pygal's own style and script, and the layers that only its script fills; the page's policy forbids scripts.
_REMOVED_TAGS = ("defs", "script", "style", "title")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A column chart over dates; `series` has the formatted values, one per date, for the legend and the table."""

    svg: Markup
    dates: Sequence[str]
    series: Mapping[str, Sequence[str]]


def make_page(facts: Facts, texts: Texts, *, zone: str) -> str:
    """Return the page in the language of the texts."""
    total = add_up(facts.days)
    issues, months = list_issues(facts, texts), facts.months_by_cost
    return _template().render(
        t=texts,
        zone=zone,
        facts=facts,
        total=total,
        title=make_title(facts, texts),
        headline=make_headline(facts, texts),
        signs=SIGNS,
        sign=make_sign,
        css_class=lambda state: state.lower().replace("_", "-"),
        issues=issues[:MAX_ROWS],
        more_issues=len(issues) - MAX_ROWS,
        warnings=[(day, describe_warnings(day, texts)) for day in facts.anomalous[:MAX_ROWS]],
        strays=list(describe_strays(facts, texts)),
        more_warnings=len(facts.anomalous) - MAX_ROWS,
        tenants=facts.by_tenant,
        describe=lambda day: _describe(day, texts),
        outcomes={name: count for name, count in asdict(total.records).items() if name != "seen"},
        slowest=sorted(facts.days, key=lambda day: -day.seconds.get("total", 0.0))[:SLOWEST_DAYS],
        months=months[:MAX_MONTHS],
        more_months=len(months) - MAX_MONTHS,
        figures=_make_figures(facts, texts),
        add_up=add_up,
        share=format_share,
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
    environment.filters |= {"number": "{:,}".format, "seconds": "{:,.1f}".format, "usd": format_usd}
    return environment.get_template("page.html.j2")


def format_usd(amount: float) -> str:
    """Format an amount that may be a small fraction of a cent; only zero is shown as zero."""
    if amount >= 1 or amount == 0:
        return f"{amount:,.2f}"
    return f"{amount:.6f}".rstrip("0") if amount >= MIN_USD else f"<{MIN_USD:.6f}"


def _format_count(number: float) -> str:
    """Format a count; an axis of small counts has fractions."""
    return f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.1f}"


def _describe(day: DayFacts, texts: Texts) -> str:
    """Return the tooltip of a cell of the map."""
    parts = [f"{day.tenant} {day.day}", texts(f"state.{day.state}")]
    if day.messages is not None:
        parts.append(f"{texts('column.messages')} {day.messages:,}")
    if day.rejected:
        parts.append(f"{texts('column.rejected')} {day.rejected:,}")
    return " · ".join((*parts, describe_warnings(day, texts))).removesuffix(" · ")


def _make_figures(facts: Facts, texts: Texts) -> dict[str, Figure]:
    """Return the figures by section: none for a single night, none without a value."""
    dates = facts.by_date
    labels = [f"{day:%m-%d}" for day in dates]
    return {
        name: _make_figure(series, labels, title=texts(f"section.{name}"), stacked=name != "cost", show=show)
        for name, (series, show) in _collect_series(list(dates.values()), texts)
        if len(dates) > 1 and any(map(any, series.values()))
    }


def _collect_series(
    days: Sequence[Totals], texts: Texts
) -> Iterator[tuple[str, tuple[dict[str, list[float]], Callable[[float], str]]]]:
    """Yield the series of each section, with one value per day, and the format of the values."""
    yield "volumes", ({texts("column.messages"): [float(day.messages) for day in days]}, _format_count)
    yield "rejects", (_largest_series([day.rejects for day in days], other=texts("column.other")), _format_count)
    stages = [{name: seconds for name, seconds in day.seconds.items() if name != "total"} for day in days]
    yield "seconds", (_largest_series(stages, other=texts("column.other")), "{:,.1f}".format)
    cost = {
        texts("column.predicted"): [day.predicted_usd for day in days],
        texts("column.billed"): [day.billed_usd for day in days],
    }
    yield "cost", (cost, format_usd)


def _largest_series(tables: Sequence[Mapping[str, float]], *, other: str) -> dict[str, list[float]]:
    """Return one series for each of the names with the largest sums, and one for the rest."""
    names = list(dict.fromkeys(name for table in tables for name in table))
    names.sort(key=lambda name: -sum(table.get(name, 0.0) for table in tables))
    largest, rest = names[:MAX_SERIES], names[MAX_SERIES:]
    series = {name: [float(table.get(name, 0.0)) for table in tables] for name in largest}
    if rest:
        series[other] = [float(sum(table.get(name, 0.0) for name in rest)) for table in tables]
    return series


def _make_figure(
    series: Mapping[str, Sequence[float]],
    labels: Sequence[str],
    *,
    title: str,
    stacked: bool,
    show: Callable[[float], str],
) -> Figure:
    svg = _draw_columns(series, labels, title=title, stacked=stacked, show=show)
    shown = {name: [show(value) for value in values] for name, values in series.items()}
    return Figure(svg=Markup(svg), dates=labels, series=shown)  # noqa: S704 - an XML writer has escaped it


def _draw_columns(
    series: Mapping[str, Sequence[float]],
    labels: Sequence[str],
    *,
    title: str,
    stacked: bool,
    show: Callable[[float], str],
) -> str:
    """Return an SVG element whose shapes have the classes `color-0`, `color-1`, … and a tooltip.

    Args:
        series: values by name, one per label.
        title: the accessible name of the chart.
    """
    step = -(-len(labels) // MAX_LABELS)
    chart = (StackedBar if stacked else Bar)(
        width=WIDTH,
        height=HEIGHT,
        margin=4,
        spacing=4,
        css=[],
        js=[],
        no_prefix=True,
        show_legend=False,
        explicit_size=False,
        include_x_axis=True,
        value_formatter=show,
        x_labels_major=labels[::step],
        show_minor_x_labels=False,
        max_scale=5,
    )
    chart.x_labels = list(labels)
    for name, values in series.items():
        chart.add(name, [{"value": value, "label": name} for value in values])
    tree: ElementTree.Element = chart.render_tree()
    return _clean(tree, title)


def _clean(svg: ElementTree.Element, title: str) -> str:
    for parent in list(svg.iter()):
        for child in [child for child in parent if _is_removed(child)]:
            parent.remove(child)
    for shape in svg.iter("g"):
        _add_tooltip(shape)
    for label in svg.findall(".//g[@class='axis x']/g/text[@class='major']")[-2::-2]:
        label.set("class", "major spare")  # hidden on a phone, where all would overlap
    svg.set("role", "img")
    svg.set("aria-label", title)
    del svg.attrib["id"]
    return ElementTree.tostring(svg, encoding="unicode")


def _is_removed(element: ElementTree.Element) -> bool:
    # The tag of a comment is a function.
    return not isinstance(element.tag, str) or element.tag in _REMOVED_TAGS or "overlay" in element.get("class", "")


def _add_tooltip(group: ElementTree.Element) -> None:
    """Turn the descriptions that pygal adds to a bar for its script into a title, which browsers show as a tooltip."""
    descriptions = {str(child.get("class")).split()[0]: child for child in group.findall("desc")}
    for child in descriptions.values():
        group.remove(child)
    if "value" in descriptions:
        words = [descriptions[name].text for name in ("x_label", "label", "value") if name in descriptions]
        title = ElementTree.Element("title")
        title.text = " · ".join(word for word in words if word)
        group.insert(0, title)

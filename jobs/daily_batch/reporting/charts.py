"""Columns over days as SVG: pygal lays them out, the page's own style sheet colours them, in light and in dark."""

from collections.abc import Callable, Mapping, Sequence
from xml.etree import ElementTree

from pygal import Bar, StackedBar  # type: ignore[import-untyped]  # pygal ships no types

WIDTH, HEIGHT = 720, 220
# More labels than this would touch each other.
MOST_LABELS = 16
# Its own style and script, and the layers that only its script fills; the page allows no script at all.
_DROPPED = ("defs", "script", "style", "title")


def draw_columns(
    series: Mapping[str, Sequence[float]],
    labels: Sequence[str],
    *,
    title: str,
    stacked: bool,
    show: Callable[[float], str],
) -> str:
    """The columns as an SVG element whose shapes have the classes `color-0`, `color-1`, … and a tooltip.

    Args:
        series: values by name, one for each label.
        title: what it shows, for those who cannot see it.
    """
    every = -(-len(labels) // MOST_LABELS)
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
        x_labels_major=[label for place, label in enumerate(labels) if place % every == 0],
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
        for child in [child for child in parent if _is_dropped(child)]:
            parent.remove(child)
    for shape in svg.iter("g"):
        _title(shape)
    svg.set("role", "img")
    svg.set("aria-label", title)
    del svg.attrib["id"]
    return ElementTree.tostring(svg, encoding="unicode")


def _is_dropped(element: ElementTree.Element) -> bool:
    # A comment's tag is a function.
    return not isinstance(element.tag, str) or element.tag in _DROPPED or "overlay" in element.get("class", "")


def _title(group: ElementTree.Element) -> None:
    """What pygal tells its script about a bar becomes the bar's title, which browsers show by themselves."""
    told = {str(child.get("class")).split()[0]: child for child in group.findall("desc")}
    for child in told.values():
        group.remove(child)
    if "value" in told:
        words = [told[name].text for name in ("x_label", "label", "value") if name in told]
        title = ElementTree.Element("title")
        title.text = " · ".join(word for word in words if word)
        group.insert(0, title)

"""Print the tables of docs/project/costs.md: `python -m bench.costs`; --write replaces them in the page."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from math import ceil

from bench.measure import ROOT
from daily_batch.domain.run import Layout
from daily_batch.orchestration.routing import Volume, load_predictions, load_prices
from daily_batch.orchestration.routing.costs import MONTH_DAYS, HostCost, predict_costs

PAGE = ROOT / "docs" / "project" / "costs.md"
BEGIN, END = "<!-- tables: begin, python -m bench.costs --write -->\n", "<!-- tables: end -->\n"
SIZES = (1_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
MESSAGES_PER_FILE = 100_000
TITLES: dict[Layout, str] = {
    "export": "### Exports: files of 100,000 messages, gzip",
    "messages": "### One object a message",
}
# The guide's example: 3 GB, 15 minutes, every night.
GUIDE_GB, GUIDE_SECONDS = 3, 900


def main(arguments: list[str] | None = None) -> None:
    """Print the tables, or write them into the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.costs", description=__doc__)
    parser.add_argument("--write", action="store_true", help="into docs/project/costs.md, between its markers")
    if parser.parse_args(arguments).write:
        PAGE.write_text(replace_tables(PAGE.read_text(encoding="utf-8"), render_tables()), encoding="utf-8")
    else:
        print(render_tables(), end="")


def replace_tables(page: str, tables: str, *, begin: str = BEGIN) -> str:
    """Return the page with its tables replaced."""
    before, rest = page.split(begin)
    return f"{before}{begin}{tables}{rest[rest.index(END) :]}"


def render_tables() -> str:
    """Return all tables as Markdown."""
    return "".join(f"{line}\n" for line in _render_rows())


def volume_of(layout: Layout, messages: int) -> Volume:
    """Return the volume of a day of messages of the usual size."""
    stored = load_predictions().stored
    if layout == "messages":
        return Volume(layout=layout, objects=messages, bytes=round(messages * stored.object_message_bytes))
    files = ceil(messages / MESSAGES_PER_FILE)
    return Volume(layout=layout, objects=files, bytes=round(messages * stored.export_message_bytes))


def _render_rows() -> Iterator[str]:
    for layout, title in TITLES.items():
        yield from (
            f"\n{title}\n",
            "| messages a day | host | seconds | USD a day | USD a month | beyond the free tier | |",
        )
        yield "|---|---|---|---|---|---|---|"
        for messages in SIZES:
            yield from _render_day(layout, messages)
    yield from ("\n### The guide's example\n", "| | |", "|---|---|")
    prices = load_prices()
    gb_seconds = GUIDE_GB * GUIDE_SECONDS * MONTH_DAYS
    usd = gb_seconds * prices.function.gb_second + MONTH_DAYS * prices.function.request
    yield f"| {GUIDE_GB} GB x {GUIDE_SECONDS} s x {MONTH_DAYS} | {gb_seconds:,} GB-seconds |"
    yield f"| by list price | {usd:.2f} USD a month |"
    free = prices.function.free_gb_seconds
    yield f"| of the free {free:,.0f} GB-seconds | {gb_seconds / free:.0%} |"
    functions = 10 / prices.function.gb_second / GUIDE_GB / GUIDE_SECONDS / MONTH_DAYS
    yield f"| 10 USD are | {functions:.1f} such functions every night |"


def _render_day(layout: Layout, messages: int) -> Iterator[str]:
    costs = predict_costs(volume_of(layout, messages), predictions=load_predictions(), prices=load_prices())
    for cost in costs:
        usd = (cost.usd_day, cost.usd_month, cost.usd_month_after_free)
        cells = (f"{messages:,}", cost.host, f"{cost.seconds:,.0f}", *map(_format_usd, usd), _format_notes(cost))
        yield f"| {' | '.join(cells)} |"


def _format_usd(amount: float | None) -> str:
    if amount is None:
        return "-"
    return f"{amount:,.2f}" if amount >= 1 else f"{amount:.4f}"


def _format_notes(cost: HostCost) -> str:
    if cost.obstacles:
        return f"**cannot run there**: it {', '.join(cost.obstacles)}"
    return "; ".join(cost.notes)


if __name__ == "__main__":
    main()

"""The texts of a report, the same for the page, Markdown, JSON and the console."""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from daily_batch.domain.receipt import format_share
from daily_batch.orchestration.day_status import NOT_STARTED
from daily_batch.reporting import Lang
from daily_batch.reporting.facts import DayFacts, Facts, add_up


@dataclass(frozen=True, kw_only=True)
class Texts:
    """The texts of one language, by key such as `headline.quiet`."""

    table: dict[str, str]

    def __call__(self, key: str, **values: object) -> str:
        """Return a text with its values filled in, integers with thousands separators."""
        shown = {name: f"{value:,}" if isinstance(value, int) else value for name, value in values.items()}
        return self.table[key].format(**shown)


@cache
def load_texts(lang: Lang) -> Texts:
    """Return the texts of a language."""
    text = (resources.files(__package__) / f"texts_{lang}.toml").read_text(encoding="utf-8")
    return Texts(table=_flatten(tomllib.loads(text)))


def _flatten(table: dict[str, Any]) -> dict[str, str]:
    plain = {name: value for name, value in table.items() if isinstance(value, str)}
    nested = {name: inner for name, inner in table.items() if isinstance(inner, dict)}
    return plain | {f"{name}.{key}": text for name, inner in nested.items() for key, text in inner.items()}


# The sign of a state, for plain text, for print and for readers who cannot tell colors apart. Every font has them.
SIGNS = {
    "COMPLETED": "•",
    "COMPLETED_WITH_REJECTS": "R",
    "RUNNING": "A",
    "SUBMITTED": "S",
    "NOT_DUE": "·",
    NOT_STARTED: "–",
    "MISSING": "?",
    "DEAD": "D",
    "FAILED": "F",
}
WARNING = "!"
MAX_NAMES = 5


def make_sign(day: DayFacts) -> str:
    """Return the sign of a tenant-day, with a mark if it has warnings."""
    return SIGNS.get(day.state, "?") + (WARNING if day.is_anomalous else "")


def make_title(facts: Facts, texts: Texts) -> str:
    """Return the title: the business days, and the nights that processed them."""
    (first, last), (first_night, last_night) = (facts.dates[0], facts.dates[-1]), facts.nights
    if first == last:
        return texts("title_day", day=first, night=first_night)
    return texts("title", first=first, last=last, first_night=first_night, last_night=last_night)


def make_headline(facts: Facts, texts: Texts) -> str:
    """Return the report in one line: which tenants need attention, how many are done, whether anything is to do."""
    parts = [part for part in (_describe_attention(facts, texts), *_describe_progress(facts, texts)) if part]
    return texts("separator").join(parts)


def _describe_attention(facts: Facts, texts: Texts) -> str:
    tenants = [tenant for tenant, days in facts.by_tenant.items() if any(day.needs_attention for day in days)]
    if not tenants:
        return ""
    key = "headline.attention_one" if len(tenants) == 1 else "headline.attention_many"
    return texts(key, count=len(tenants), names=_join_names(tenants, texts))


def _describe_progress(facts: Facts, texts: Texts) -> Iterator[str]:
    states = add_up(facts.days).states
    done = sum(day.is_done for day in facts.days)
    key = "headline.done_tenants" if len(facts.dates) == 1 else "headline.done_days"
    yield texts(key, done=done, all=len(facts.days) - states.get(NOT_STARTED, 0))
    counts = {
        "rejects": states.get("COMPLETED_WITH_REJECTS", 0),
        "running": states.get("RUNNING", 0) + states.get("SUBMITTED", 0),
        "waiting": states.get("NOT_DUE", 0),
        "warnings": len(facts.anomalous),
    }
    for name, count in counts.items():
        if count:
            yield texts(f"headline.{name}", count=count)
    if not facts.needing_attention and not facts.anomalous:
        yield texts("headline.quiet")


def _join_names(names: Sequence[str], texts: Texts) -> str:
    more = len(names) - MAX_NAMES
    shown = ", ".join(names[:MAX_NAMES])
    return f"{shown}, {texts('and_more', count=more)}" if more > 0 else shown


def describe_warnings(day: DayFacts, texts: Texts) -> str:
    """Return the day's warnings as one line; empty without any."""
    return texts("separator").join(_list_warnings(day, texts))


def _list_warnings(day: DayFacts, texts: Texts) -> Iterator[str]:
    if day.late and not day.needs_attention:
        yield texts("note.late")
    if day.expected is not None:
        yield texts("note.volume", messages=day.messages, expected=day.expected)
    if day.quality:
        yield texts("note.quality", rules=", ".join(day.quality))
    if day.new_fields:
        yield texts("note.new_fields", names=_join_names(day.new_fields, texts))
    if day.unreadable and day.total_objects:
        share = format_share(day.unreadable, day.total_objects)
        yield texts("note.unreadable_share", count=day.unreadable, objects=day.total_objects, share=share)
    elif day.unreadable:
        yield texts("note.unreadable", count=day.unreadable)
    if day.doubt in ("gone", "differs"):
        yield texts(f"note.{day.doubt}")
    elif day.doubt:
        yield texts("note.unclear", why=day.doubt)

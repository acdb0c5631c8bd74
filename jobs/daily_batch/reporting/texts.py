"""The texts of a report, the same for the page, Markdown, JSON and the console."""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from importlib import resources
from typing import Any

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
    "MISSING": "?",
    "DEAD": "D",
    "FAILED": "F",
}
WARNING = "!"
RUNBOOKS = {"FAILED": "days-failed", "MISSING": "days-late", "DEAD": "dead-lease"}
MAX_NAMES = 5
STRAYS_COMMAND = "makoto-batch plan --strays"
_STEP = ". Next step: "


@dataclass(frozen=True, kw_only=True)
class Issue:
    """Consecutive days of one tenant, `first` to `last`, that need attention for the same reason."""

    tenant: str
    first: date
    last: date
    state: str
    what: str
    next_step: str
    runbook: str

    @property
    def dates(self) -> str:
        """The day, or the first and the last day."""
        return f"{self.first}" if self.first == self.last else f"{self.first} – {self.last}"


def make_sign(day: DayFacts) -> str:
    """Return the sign of a tenant-day, with a mark if it has warnings."""
    return SIGNS.get(day.state, "?") + (WARNING if day.is_anomalous else "")


def make_headline(facts: Facts, texts: Texts) -> str:
    """Return the report in one line: which tenants need attention, how many are done, whether anything is to do."""
    parts = [part for part in (_describe_attention(facts, texts), *_describe_progress(facts, texts)) if part]
    return texts("separator").join(parts)


def _describe_attention(facts: Facts, texts: Texts) -> str:
    tenants = sorted({day.tenant for day in facts.needing_attention})
    if not tenants:
        return ""
    key = "headline.attention_one" if len(tenants) == 1 else "headline.attention_many"
    return texts(key, count=len(tenants), names=_join_names(tenants, texts))


def _describe_progress(facts: Facts, texts: Texts) -> Iterator[str]:
    states = add_up(facts.days).states
    done = sum(day.is_done for day in facts.days)
    key = "headline.done_tenants" if len(facts.dates) == 1 else "headline.done_days"
    yield texts(key, done=done, all=len(facts.days))
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


def list_issues(facts: Facts, texts: Texts) -> list[Issue]:
    """Return what needs attention, the newest first; consecutive days with the same error are one issue."""
    by_key = {(day.tenant, day.day): day for day in facts.needing_attention}
    issues = []
    for day in facts.needing_attention:
        if _is_same(by_key.get((day.tenant, day.day + timedelta(days=1))), day):
            continue  # part of the next day's issue
        first = day
        while _is_same(before := by_key.get((day.tenant, first.day - timedelta(days=1))), first):
            first = before or first
        what, step = _describe_issue(first, day, texts)
        issues.append(
            Issue(
                tenant=day.tenant,
                first=first.day,
                last=day.day,
                state=day.state,
                what=what,
                next_step=step,
                runbook=texts("runbook", name=RUNBOOKS.get(day.state, "README")),
            )
        )
    return issues


def _is_same(one: DayFacts | None, other: DayFacts) -> bool:
    return one is not None and (one.state, one.error) == (other.state, other.error)


def _describe_issue(first: DayFacts, last: DayFacts, texts: Texts) -> tuple[str, str]:
    """Return what happened and the next step; errors are quoted from the ledger."""
    if last.state == "FAILED":
        what, _, step = (last.error or texts("what.failed")).partition(_STEP)
        tried = f" ({texts('what.attempts', count=last.attempts)})" if last.attempts > 1 else ""
        return f"{what}{tried}", step.rstrip(".") or texts("next.log", run_id=last.run_id or "-")
    what = texts("what.dead", ended=last.ended) if last.state == "DEAD" else texts("what.missing")
    span = f"--date {last.day}" if first == last else f"--from {first.day} --to {last.day}"
    command = f"makoto-batch {'run' if first == last else 'backfill'} --tenant {last.tenant} {span}"
    return what, texts("next.run", command=command)


def describe_warnings(day: DayFacts, texts: Texts) -> str:
    """Return the day's warnings as one line; empty without any."""
    return texts("separator").join(_list_warnings(day, texts))


def describe_strays(facts: Facts, texts: Texts) -> list[str]:
    """Return one sentence per tenant with objects outside every folder that a run reads."""
    return [
        texts(
            "note.strays", tenant=found.tenant, count=found.objects, found=found.found_at[:10], command=STRAYS_COMMAND
        )
        for found in facts.strays
    ]


def _list_warnings(day: DayFacts, texts: Texts) -> Iterator[str]:
    if day.late and not day.needs_attention:
        yield texts("note.late")
    if day.expected is not None:
        yield texts("note.volume", messages=day.messages, expected=day.expected)
    if day.quality:
        yield texts("note.quality", rules=", ".join(day.quality))
    if day.unreadable:
        yield texts("note.unreadable", count=day.unreadable)
    if day.doubt in ("gone", "differs"):
        yield texts(f"note.{day.doubt}")
    elif day.doubt:
        yield texts("note.unclear", why=day.doubt)

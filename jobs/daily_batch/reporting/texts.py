"""A report's facts in words, alike for the page, Markdown, JSON and the console."""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from importlib import resources
from typing import Any

from daily_batch.reporting import Lang
from daily_batch.reporting.days import DayFacts
from daily_batch.reporting.facts import Facts, add_up


@dataclass(frozen=True, kw_only=True)
class Texts:
    """The texts of one language, by key: `headline.quiet`."""

    table: dict[str, str]

    def __call__(self, key: str, **values: object) -> str:
        """A text with its values filled in; whole numbers with commas."""
        shown = {name: f"{value:,}" if isinstance(value, int) else value for name, value in values.items()}
        return self.table[key].format(**shown)


@cache
def load_texts(lang: Lang) -> Texts:
    """The texts of a language."""
    text = (resources.files(__package__) / f"texts_{lang}.toml").read_text(encoding="utf-8")
    return Texts(table=_flatten(tomllib.loads(text)))


def _flatten(table: dict[str, Any]) -> dict[str, str]:
    plain = {name: value for name, value in table.items() if isinstance(value, str)}
    nested = {name: inner for name, inner in table.items() if isinstance(inner, dict)}
    return plain | {f"{name}.{key}": text for name, inner in nested.items() for key, text in inner.items()}


# The sign of a state, for those who cannot tell colours apart, for paper and for plain text; every font has it.
SIGNS = {
    "completed": "•",
    "completed, rejects": "R",
    "running": "A",
    "submitted": "S",
    "not due": "·",
    "missing": "?",
    "dead": "D",
    "failed": "F",
}
ODD = "!"
# Where a checkout says more.
RUNBOOKS = {"failed": "days-failed", "missing": "days-late", "dead": "dead-lease"}
NAMED = 5
STRAYS = "makoto-batch plan --strays"
_STEP = ". Next step: "


@dataclass(frozen=True, kw_only=True)
class Issue:
    """Days of one tenant, from `first` to `last`, that need someone for the same reason."""

    tenant: str
    first: date
    last: date
    state: str
    what: str
    next_step: str
    runbook: str

    @property
    def dates(self) -> str:
        """The day, or the first and the last."""
        return f"{self.first}" if self.first == self.last else f"{self.first} – {self.last}"


def tell_sign(day: DayFacts) -> str:
    """A tenant-day in a letter, and a mark if it is worth a look."""
    return SIGNS.get(day.state, "?") + (ODD if day.is_odd else "")


def tell_headline(facts: Facts, texts: Texts) -> str:
    """The report in one sentence: who needs someone, how much is done, whether there is anything to do."""
    parts = [part for part in (_tell_need(facts, texts), *_tell_progress(facts, texts)) if part]
    return texts("separator").join(parts)


def _tell_need(facts: Facts, texts: Texts) -> str:
    tenants = sorted({day.tenant for day in facts.in_need})
    if not tenants:
        return ""
    key = "headline.need_one" if len(tenants) == 1 else "headline.need_many"
    return texts(key, count=len(tenants), names=_name_some(tenants, texts))


def _tell_progress(facts: Facts, texts: Texts) -> Iterator[str]:
    states = add_up(facts.days).states
    done = sum(day.is_done for day in facts.days)
    key = "headline.done_tenants" if len(facts.dates) == 1 else "headline.done_days"
    yield texts(key, done=done, all=len(facts.days))
    counts = {
        "rejects": states.get("completed, rejects", 0),
        "working": states.get("running", 0) + states.get("submitted", 0),
        "waiting": states.get("not due", 0),
        "odd": len(facts.odd),
    }
    for name, count in counts.items():
        if count:
            yield texts(f"headline.{name}", count=count)
    if not facts.in_need and not facts.odd:
        yield texts("headline.quiet")


def _name_some(names: Sequence[str], texts: Texts) -> str:
    more = len(names) - NAMED
    shown = ", ".join(names[:NAMED])
    return f"{shown}, {texts('and_more', count=more)}" if more > 0 else shown


def tell_troubles(facts: Facts, texts: Texts) -> list[Issue]:
    """What needs someone, the newest first: days of a tenant in a row with the same trouble are one."""
    by_place = {(day.tenant, day.day): day for day in facts.in_need}
    troubles = []
    for day in facts.in_need:
        if _is_same(by_place.get((day.tenant, day.day + timedelta(days=1))), day):
            continue  # told with the day after it
        first = day
        while _is_same(before := by_place.get((day.tenant, first.day - timedelta(days=1))), first):
            first = before or first
        what, step = _tell_trouble(first, day, texts)
        troubles.append(
            Issue(
                tenant=day.tenant,
                first=first.day,
                last=day.day,
                state=day.state,
                what=what,
                next_step=step,
                runbook=f"docs/runbooks/{RUNBOOKS.get(day.state, 'README')}.md",
            )
        )
    return troubles


def _is_same(one: DayFacts | None, other: DayFacts) -> bool:
    return one is not None and (one.state, one.error) == (other.state, other.error)


def _tell_trouble(first: DayFacts, last: DayFacts, texts: Texts) -> tuple[str, str]:
    """What happened and the next step; errors are as the ledger has them."""
    if last.state == "failed":
        what, _, step = (last.error or texts("what.failed")).partition(_STEP)
        tried = f" ({texts('what.attempts', count=last.attempts)})" if last.attempts > 1 else ""
        return f"{what}{tried}", step.rstrip(".") or texts("next.log", run_id=last.run_id or "-")
    what = texts("what.dead", ended=last.ended) if last.state == "dead" else texts("what.missing")
    span = f"--date {last.day}" if first == last else f"--from {first.day} --to {last.day}"
    command = f"makoto-batch {'run' if first == last else 'backfill'} --tenant {last.tenant} {span}"
    return what, texts("next.run", command=command)


def tell_oddities(day: DayFacts, texts: Texts) -> str:
    """Why a day is worth a look."""
    return texts("separator").join(_list_oddities(day, texts))


def tell_strays(facts: Facts, texts: Texts) -> list[str]:
    """Of which tenants objects lie where no run looks, a sentence each."""
    return [
        texts("note.strays", tenant=each.tenant, count=each.objects, found=each.found_at[:10], command=STRAYS)
        for each in facts.strays
    ]


def _list_oddities(day: DayFacts, texts: Texts) -> Iterator[str]:
    if day.late and not day.needs_someone:
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

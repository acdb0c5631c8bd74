"""A month of nights as a script: who writes how much, what goes wrong when, and which alarms must tell; by a seed.

An alarm is named by its runbook. What sounds for a share of rejects is decided by what was written, not here.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from random import Random
from typing import Literal
from zoneinfo import ZoneInfo

# late: a file comes after its night. poisoned: one cannot be read. refused: the same for a tenant whose rules forbid
# it, and somebody takes the file away next day. surge: far more messages than usual, so the day goes to Spark, whose
# answer to the request is lost, and so is the news of the job's end. killed: the worker, once. throttled: the ledger on
# AWS, Databricks on Azure, all night.
Trouble = Literal["late", "poisoned", "refused", "surge", "killed", "throttled"]
SOUNDS: Mapping[Trouble, frozenset[str]] = {
    "late": frozenset(),
    "poisoned": frozenset({"quality-warnings"}),
    "refused": frozenset({"days-failed", "days-late", "function-errors"}),
    "surge": frozenset({"days-unusual", "days-drifted"}),
    "killed": frozenset({"function-errors"}),
    "throttled": frozenset(),
}
LEAST, MOST = 20, 60
# More messages than usual in a surge, and from how many on a day goes to Spark.
SURGE, LARGE = 400, 150
# A tenant's usual is not known before.
FIRST_SURGE = 4


@dataclass(frozen=True, kw_only=True)
class TenantDay:
    """What a tenant writes on a day, and what goes wrong."""

    tenant: str
    day: date
    messages: int
    trouble: Trouble | None = None


@dataclass(frozen=True, kw_only=True)
class Month:
    """All days by tenant, oldest first. Tenants in `strict` allow no unreadable object; `deploys` is a night's day."""

    days: Mapping[date, tuple[TenantDay, ...]]
    strict: frozenset[str]
    deploys: date
    zone: str = "Asia/Tokyo"
    names: tuple[str, ...] = field(default=())

    @property
    def settings(self) -> dict[str, str]:
        """What the functions of either cloud are told beside their deployment's own."""
        strict = {"max_unreadable": {"limit": 0.0, "severity": "fail"}}
        quality = {"tenants": dict.fromkeys(self.strict, strict)}
        return {"MAKOTO_LARGE_MESSAGES": str(LARGE), "MAKOTO_QUALITY": json.dumps(quality)}

    @property
    def begins(self) -> datetime:
        """The first day's noon."""
        return datetime.combine(min(self.days), time(12), tzinfo=ZoneInfo(self.zone))


def write_month(*, tenants: int, days: int, seed: int, first: date = date(2025, 6, 1), surges: int = 1) -> Month:
    """One trouble of each kind at least, each in a night of its own where there are nights enough; then more by chance.

    Args:
        surges: so many days go to Spark, which takes as long as all days of a small night.
    """
    random = Random(seed)
    names = tuple(f"tenant-{number:03}" for number in range(tenants))
    strict = frozenset(random.sample(names, max(1, tenants // 10)))
    dates = [first + timedelta(days=number) for number in range(days)]
    usual = {name: random.randint(LEAST, MOST) for name in names}
    troubles = _draw(random, names=names, strict=strict, dates=dates, surges=surges)
    written = {
        day: tuple(
            TenantDay(tenant=name, day=day, messages=_volume(usual[name], trouble, random), trouble=trouble)
            for name in names
            for trouble in [troubles.get((name, day))]
        )
        for day in dates
    }
    return Month(days=written, strict=strict, deploys=dates[days // 2], names=names)


def plan_deaths(folder: Path, troubles: Iterable[TenantDay]) -> None:
    """Name whose worker is to be killed (`crash_once`)."""
    for each in troubles:
        if each.trouble == "killed":
            (folder / each.tenant).touch()


def _volume(usual: int, trouble: Trouble | None, random: Random) -> int:
    return round(usual * random.uniform(0.85, 1.15)) + (SURGE if trouble == "surge" else 0)


def _draw(
    random: Random, *, names: tuple[str, ...], strict: frozenset[str], dates: list[date], surges: int
) -> dict[tuple[str, date], Trouble]:
    lenient = sorted(set(names) - strict)
    drawn: dict[tuple[str, date], Trouble] = {}
    for _ in range(surges):
        drawn[random.choice(lenient), random.choice(dates[FIRST_SURGE:])] = "surge"
    # The last night's stays as it is.
    drawn[min(strict), dates[-1]] = "refused"
    kinds: list[Trouble] = ["late", "poisoned", "refused", "killed", "throttled"]
    for kind in kinds * max(1, len(names) * len(dates) // 200):
        whose, when = sorted(strict) if kind == "refused" else lenient, dates[:-1]
        free = [(name, day) for name in whose for day in when if (name, day) not in drawn]
        drawn[random.choice(free)] = kind
    return drawn

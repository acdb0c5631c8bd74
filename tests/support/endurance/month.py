"""A month of nights as a seeded script: what each tenant writes, which faults occur when, and which alarms must fire.

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
ServiceError = Literal["late", "poisoned", "refused", "surge", "killed", "throttled"]
SOUNDS: Mapping[ServiceError, frozenset[str]] = {
    "late": frozenset(),
    "poisoned": frozenset({"quality-warnings"}),
    "refused": frozenset({"days-failed", "days-late", "function-errors"}),
    "surge": frozenset({"days-unusual", "days-drifted"}),
    "killed": frozenset({"function-errors"}),
    "throttled": frozenset(),
}
LEAST, MOST = 20, 60
# The factor of a surge, and the number of messages from which a day goes to Spark.
SURGE, LARGE = 400, 150
# Before that, a tenant's usual volume is unknown.
FIRST_SURGE = 4


@dataclass(frozen=True, kw_only=True)
class TenantDay:
    """What a tenant writes on a day, and its fault."""

    tenant: str
    day: date
    messages: int
    trouble: ServiceError | None = None


@dataclass(frozen=True, kw_only=True)
class Month:
    """All days with their tenants, oldest first. Tenants in `strict` allow no unreadable object; `deploys` is a day."""

    days: Mapping[date, tuple[TenantDay, ...]]
    strict: frozenset[str]
    deploys: date
    zone: str = "Asia/Tokyo"
    names: tuple[str, ...] = field(default=())

    @property
    def settings(self) -> dict[str, str]:
        """The functions' settings on both clouds, beside those of the deployment."""
        strict = {"max_unreadable": {"limit": 0.0, "severity": "fail"}}
        quality = {"tenants": dict.fromkeys(self.strict, strict)}
        return {"MAKOTO_LARGE_MESSAGES": str(LARGE), "MAKOTO_QUALITY": json.dumps(quality)}

    @property
    def begins(self) -> datetime:
        """Noon of the first day."""
        return datetime.combine(min(self.days), time(12), tzinfo=ZoneInfo(self.zone))


def write_month(*, tenants: int, days: int, seed: int, first: date = date(2025, 6, 1), surges: int = 1) -> Month:
    """Script at least one fault of each kind, each in its own night if there are enough, and further ones at random.

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


def plan_crashes(folder: Path, troubles: Iterable[TenantDay]) -> None:
    """Name the tenants whose worker `crash_once` kills."""
    for each in troubles:
        if each.trouble == "killed":
            (folder / each.tenant).touch()


def _volume(usual: int, trouble: ServiceError | None, random: Random) -> int:
    return round(usual * random.uniform(0.85, 1.15)) + (SURGE if trouble == "surge" else 0)


def _draw(
    random: Random, *, names: tuple[str, ...], strict: frozenset[str], dates: list[date], surges: int
) -> dict[tuple[str, date], ServiceError]:
    lenient = sorted(set(names) - strict)
    drawn: dict[tuple[str, date], ServiceError] = {}
    for _ in range(surges):
        drawn[random.choice(lenient), random.choice(dates[FIRST_SURGE:])] = "surge"
    # The last night's object stays.
    drawn[min(strict), dates[-1]] = "refused"
    kinds: list[ServiceError] = ["late", "poisoned", "refused", "killed", "throttled"]
    for kind in kinds * max(1, len(names) * len(dates) // 200):
        whose, when = sorted(strict) if kind == "refused" else lenient, dates[:-1]
        free = [(name, day) for name in whose for day in when if (name, day) not in drawn]
        drawn[random.choice(free)] = kind
    return drawn

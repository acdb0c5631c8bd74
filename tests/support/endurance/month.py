"""A month of nights as a seeded script: what each tenant writes, which faults occur when, and which alarms must fire.

Alarms are named by their runbooks. The alarms of a share of rejects follow from the written objects (`Player`).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from random import Random
from typing import Literal
from zoneinfo import ZoneInfo

# late: a file arrives after its night. poisoned: a file cannot be read. refused: the same, for a tenant whose rules
# allow none; the file is removed next day. surge: far more messages than usual, so the day goes to Spark; the response
# to the submission and the event of the job's end are lost. killed: the worker, once. throttled: the ledger on AWS,
# Databricks on Azure, all night.
DayFault = Literal["late", "poisoned", "refused", "surge", "killed", "throttled"]
EXPECTED_ALARMS: Mapping[DayFault, frozenset[str]] = {
    "late": frozenset(),
    "poisoned": frozenset({"quality-warnings"}),
    "refused": frozenset({"days-failed", "days-late", "function-errors"}),
    "surge": frozenset({"days-unusual", "days-drifted"}),
    "killed": frozenset({"function-errors"}),
    "throttled": frozenset(),
}
MIN_MESSAGES, MAX_MESSAGES = 20, 60
# The messages that a surge adds, and the number of messages from which a day goes to Spark.
SURGE_MESSAGES, LARGE_MESSAGES = 400, 150
# No surge occurs before this night, because a tenant's usual volume is not yet known.
FIRST_SURGE_NIGHT = 4


@dataclass(frozen=True, kw_only=True)
class TenantDay:
    """A tenant's day: its messages and its fault."""

    tenant: str
    day: date
    messages: int
    fault: DayFault | None = None


@dataclass(frozen=True, kw_only=True)
class Month:
    """A month's days with their tenants, oldest first.

    Attributes:
        strict: the tenants whose rules allow no unreadable object.
        deploy_day: the day in whose night a new version is deployed.
    """

    days: Mapping[date, tuple[TenantDay, ...]]
    strict: frozenset[str]
    deploy_day: date
    zone: str = "Asia/Tokyo"
    tenants: tuple[str, ...] = field(default=())

    @property
    def settings(self) -> dict[str, str]:
        """Settings of the functions on both clouds, in addition to the deployment's."""
        strict = {"max_unreadable": {"limit": 0.0, "severity": "fail"}}
        quality = {"tenants": dict.fromkeys(self.strict, strict)}
        return {"MAKOTO_LARGE_MESSAGES": str(LARGE_MESSAGES), "MAKOTO_QUALITY": json.dumps(quality)}

    @property
    def start(self) -> datetime:
        """Noon of the first day."""
        return datetime.combine(min(self.days), time(12), tzinfo=ZoneInfo(self.zone))


def script_month(*, tenants: int, days: int, seed: int, first: date = date(2025, 6, 1), surges: int = 1) -> Month:
    """Script a month with at least one fault of each kind, and more at random.

    Args:
        surges: number of days that go to Spark. One takes as long as all days of a small night.
    """
    random = Random(seed)
    names = tuple(f"tenant-{number:03}" for number in range(tenants))
    strict = frozenset(random.sample(names, max(1, tenants // 10)))
    dates = [first + timedelta(days=number) for number in range(days)]
    usual = {name: random.randint(MIN_MESSAGES, MAX_MESSAGES) for name in names}
    faults = _draw(random, names=names, strict=strict, dates=dates, surges=surges)
    scripted = {
        day: tuple(
            TenantDay(tenant=name, day=day, messages=_volume(usual[name], fault, random), fault=fault)
            for name in names
            for fault in [faults.get((name, day))]
        )
        for day in dates
    }
    return Month(days=scripted, strict=strict, deploy_day=dates[days // 2], tenants=names)


def plan_crashes(folder: Path, faulty_days: Iterable[TenantDay]) -> None:
    """Create the files that make `crash_once` kill the tenants' workers."""
    for each in faulty_days:
        if each.fault == "killed":
            (folder / each.tenant).touch()


def _volume(usual: int, fault: DayFault | None, random: Random) -> int:
    return round(usual * random.uniform(0.85, 1.15)) + (SURGE_MESSAGES if fault == "surge" else 0)


def _draw(
    random: Random, *, names: tuple[str, ...], strict: frozenset[str], dates: list[date], surges: int
) -> dict[tuple[str, date], DayFault]:
    lenient = sorted(set(names) - strict)
    drawn: dict[tuple[str, date], DayFault] = {}
    for _ in range(surges):
        drawn[random.choice(lenient), random.choice(dates[FIRST_SURGE_NIGHT:])] = "surge"
    # The last night's broken object is never removed.
    drawn[min(strict), dates[-1]] = "refused"
    kinds: list[DayFault] = ["late", "poisoned", "refused", "killed", "throttled"]
    for kind in kinds * max(1, len(names) * len(dates) // 200):
        tenants, days = sorted(strict) if kind == "refused" else lenient, dates[:-1]
        free = [(name, day) for name in tenants for day in days if (name, day) not in drawn]
        drawn[random.choice(free)] = kind
    return drawn

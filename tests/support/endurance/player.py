"""Plays a month on a deployment, night after night, by a clock that goes on as fast as the work is done."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from tests.local_cloud.common.clock import Clock
from tests.support.endurance.month import SOUNDS, Month, TenantDay
from tests.support.endurance.objects import Written, write_day

LOOK_SECONDS = 0.2
# For a night to come to rest, however many tenants it has.
PATIENCE_SECONDS = 600
PATIENCE_PER_TENANT = 5
STEP = timedelta(minutes=16)
# RejectPercentLimit of the alarm, and the default of the rule max_rejected.
REJECTS_SOUND, REJECTS_WARN = 0.05, 0.1


class SoakCloud(Protocol):
    """A deployment, as a month needs it. What is kept of a night's metrics is forgotten when the next one begins."""

    def put(self, objects: Mapping[str, bytes]) -> None:
        """Write objects by key."""

    def remove(self, keys: Sequence[str]) -> None:
        """Take objects away."""

    def begin(self, troubles: Sequence[TenantDay]) -> None:
        """Prepare a night's troubles, and forget the last one's."""

    def ask(self) -> int:
        """Let the schedule call; how many messages it put on the queue."""

    def working(self) -> AbstractContextManager[object]:
        """Give messages to the worker."""

    def deploy(self) -> None:
        """Bring a new version out while the old one is at work."""

    def look(self) -> bool:
        """Do what jobs bring about; whether nothing is under way: no message to give out, no call, no job."""

    def waiting(self) -> bool:
        """Whether a message waits to be given out again."""

    def release(self) -> None:
        """Let messages that failed be given out again, now that their time has come."""

    def reconcile(self) -> Mapping[str, Any]:
        """Let the watcher look at everything; its summary."""

    def sounding(self, now: datetime) -> set[str]:
        """The runbooks of the alarms that sound over what the night has told so far."""

    def entry(self, tenant: str, day: date) -> Mapping[str, Any]:
        """The ledger's item of a day, empty where there is none."""


@dataclass(frozen=True, kw_only=True)
class PlayedNight:
    """What a night sounded, and what it had to; how many seconds it took to play."""

    day: date
    sounded: frozenset[str]
    expected: frozenset[str]
    seconds: float


@dataclass
class Player:
    """`written` is what was written of each tenant-day."""

    cloud: SoakCloud
    month: Month
    clock: Clock
    say: Callable[[str], None] = print
    written: dict[tuple[str, date], Written] = field(default_factory=dict)
    nights: list[PlayedNight] = field(default_factory=list)

    def play(self) -> None:
        """The whole month."""
        for number, day in enumerate(self.month.days):
            began = time.monotonic()
            sounded = self._play_night(day, number)
            seconds = time.monotonic() - began
            self.nights.append(
                PlayedNight(day=day, sounded=frozenset(sounded), expected=self._expect(day), seconds=seconds)
            )
            self.say(f"{day}  {seconds:5.1f} s  {', '.join(sorted(sounded)) or 'no alarm'}")

    def describe(self) -> str:
        """Night by night in Markdown: what was injected, and which alarms sounded."""
        lines = ["| day | what went wrong | alarms | seconds |", "|---|---|---|---:|"]
        for night in self.nights:
            troubles = Counter(each.trouble for each in self.month.days[night.day] if each.trouble)
            injected = [f"{count} {trouble}" for trouble, count in sorted(troubles.items())]
            injected += ["a deploy"] if night.day == self.month.deploys else []
            cells = (str(night.day), ", ".join(injected), ", ".join(sorted(night.sounded)), f"{night.seconds:.0f}")
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines) + "\n"

    def _play_night(self, day: date, number: int) -> set[str]:
        """The alarms that sounded."""
        self.clock.set(self._at(day, "23:00"))
        self._write(day, number)
        self.clock.set(self._at(day + timedelta(days=1), "02:00"))
        troubles = [each for each in self.month.days[day] if each.trouble]
        self.cloud.begin(troubles)
        self.cloud.ask()
        sounded: set[str] = set()
        due = self._at(day + timedelta(days=1), "06:00")
        with self.cloud.working():
            if day == self.month.deploys:
                self.cloud.deploy()
            while True:
                self._wait()
                self.clock.forward(STEP)
                self.cloud.release()
                summary = self.cloud.reconcile()
                sounded |= self.cloud.sounding(datetime.now(UTC))
                over = summary["ended"] and self.cloud.look() and not self.cloud.waiting()
                if over or datetime.now(UTC) > due:
                    break
            self.clock.set(max(due, datetime.now(UTC)) + timedelta(minutes=1))
            self.cloud.reconcile()
            self._wait()
        return sounded | self.cloud.sounding(datetime.now(UTC))

    def _write(self, day: date, number: int) -> None:
        """The day's objects, and what became of those of the day before."""
        for tenant, each in enumerate(self.month.days[day]):
            seed = number * len(self.month.names) + tenant
            self.written[each.tenant, day] = written = write_day(each, zone=self.month.zone, seed=seed)
            self.cloud.put(written.now)
        before = day - timedelta(days=1)
        for each in self.month.days.get(before, ()):
            written = self.written[each.tenant, before]
            if each.trouble in ("late", "refused"):
                self.cloud.put({key: body for key, body in written.next_day.items() if key not in written.now})
                self.cloud.remove([key for key in written.now if key not in written.next_day])

    def _expect(self, day: date) -> frozenset[str]:
        """The alarms of the night's troubles, and of days of which the truth says that much was rejected."""
        expected = {alarm for each in self.month.days[day] if each.trouble for alarm in SOUNDS[each.trouble]}
        for each in self.month.days[day]:
            records = self.written[each.tenant, day].records
            share = records["rejected"] / max(records["seen"], 1)
            expected |= {"reject-percent"} if share > REJECTS_SOUND else set()
            expected |= {"quality-warnings"} if share > REJECTS_WARN else set()
        return frozenset(expected)

    def _wait(self) -> None:
        """Until nothing is under way."""
        deadline = time.monotonic() + PATIENCE_SECONDS + PATIENCE_PER_TENANT * len(self.month.names)
        quiet = 0
        while quiet < 2:
            assert time.monotonic() < deadline, "the night does not come to rest"
            quiet = quiet + 1 if self.cloud.look() else 0
            time.sleep(LOOK_SECONDS)

    def _at(self, day: date, hour: str) -> datetime:
        return datetime.fromisoformat(f"{day.isoformat()}T{hour}:00").replace(tzinfo=ZoneInfo(self.month.zone))

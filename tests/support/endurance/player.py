"""Play a month on a deployment, night by night, with a clock that advances as fast as the work is done."""

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
# Time for a night to settle, however many tenants it has.
PATIENCE_SECONDS = 600
PATIENCE_PER_TENANT = 5
STEP = timedelta(minutes=16)
# RejectPercentLimit of the alarm, and the default of the rule max_rejected.
REJECTS_SOUND, REJECTS_WARN = 0.05, 0.1


class EnduranceCloud(Protocol):
    """What a month needs of a deployment. A night's metrics are cleared when the next one starts."""

    def put(self, objects: Mapping[str, bytes]) -> None:
        """Write objects by key."""

    def remove(self, keys: Sequence[str]) -> None:
        """Delete objects."""

    def begin(self, troubles: Sequence[TenantDay]) -> None:
        """Install a night's faults and remove the previous ones."""

    def ask(self) -> int:
        """Fire the schedule and return the number of messages that it queued."""

    def working(self) -> AbstractContextManager[object]:
        """Deliver messages to the worker."""

    def deploy(self) -> None:
        """Deploy a new version while the old one is running."""

    def look(self) -> bool:
        """Deliver the events of jobs; return whether all is idle: no visible message, no call, no job."""

    def waiting(self) -> bool:
        """Return whether a failed message waits for its redelivery."""

    def release(self) -> None:
        """Make failed messages visible, for their timeout has passed."""

    def reconcile(self) -> Mapping[str, Any]:
        """Call the watcher's reconciliation and return its summary."""

    def sounding(self, now: datetime) -> set[str]:
        """Return the runbooks of the alarms that fire on the night's metrics so far."""

    def entry(self, tenant: str, day: date) -> Mapping[str, Any]:
        """Return the ledger's item of a day, or an empty mapping."""


@dataclass(frozen=True, kw_only=True)
class PlayedNight:
    """The alarms that fired and those expected, and the seconds that the night took."""

    day: date
    sounded: frozenset[str]
    expected: frozenset[str]
    seconds: float


@dataclass
class Player:
    """Play a month; `written` has what was written of each tenant-day."""

    cloud: EnduranceCloud
    month: Month
    clock: Clock
    say: Callable[[str], None] = print
    written: dict[tuple[str, date], Written] = field(default_factory=dict)
    nights: list[PlayedNight] = field(default_factory=list)

    def play(self) -> None:
        """Play the whole month."""
        for number, day in enumerate(self.month.days):
            began = time.monotonic()
            sounded = self._play_night(day, number)
            seconds = time.monotonic() - began
            self.nights.append(
                PlayedNight(day=day, sounded=frozenset(sounded), expected=self._expect(day), seconds=seconds)
            )
            self.say(f"{day}  {seconds:5.1f} s  {', '.join(sorted(sounded)) or 'no alarm'}")

    def describe(self) -> str:
        """Return a Markdown table of nights with injected faults and alarms."""
        lines = ["| day | what went wrong | alarms | seconds |", "|---|---|---|---:|"]
        for night in self.nights:
            troubles = Counter(each.trouble for each in self.month.days[night.day] if each.trouble)
            injected = [f"{count} {trouble}" for trouble, count in sorted(troubles.items())]
            injected += ["a deploy"] if night.day == self.month.deploys else []
            cells = (str(night.day), ", ".join(injected), ", ".join(sorted(night.sounded)), f"{night.seconds:.0f}")
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines) + "\n"

    def _play_night(self, day: date, number: int) -> set[str]:
        """Play a night and return the alarms that fired."""
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
        """Write the day's objects, and the changes of those of the day before."""
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
        """Return the alarms of the night's faults and of days with many expected rejects."""
        expected = {alarm for each in self.month.days[day] if each.trouble for alarm in SOUNDS[each.trouble]}
        for each in self.month.days[day]:
            records = self.written[each.tenant, day].records
            share = records["rejected"] / max(records["seen"], 1)
            expected |= {"reject-percent"} if share > REJECTS_SOUND else set()
            expected |= {"quality-warnings"} if share > REJECTS_WARN else set()
        return frozenset(expected)

    def _wait(self) -> None:
        """Wait until all is idle."""
        deadline = time.monotonic() + PATIENCE_SECONDS + PATIENCE_PER_TENANT * len(self.month.names)
        quiet = 0
        while quiet < 2:
            assert time.monotonic() < deadline, "the night does not come to rest"
            quiet = quiet + 1 if self.cloud.look() else 0
            time.sleep(LOOK_SECONDS)

    def _at(self, day: date, hour: str) -> datetime:
        return datetime.fromisoformat(f"{day.isoformat()}T{hour}:00").replace(tzinfo=ZoneInfo(self.month.zone))

"""Play a month on a deployment, night by night, on a clock that advances as fast as the work is done."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from tests.local_cloud.common.clock import Clock
from tests.support.endurance.month import EXPECTED_ALARMS, Month, TenantDay
from tests.support.endurance.objects import WrittenDay, create_day

POLL_SECONDS = 0.2
# Timeout of a night, plus a share for each tenant.
TIMEOUT_SECONDS = 600
TIMEOUT_SECONDS_PER_TENANT = 5
RECONCILE_INTERVAL = timedelta(minutes=16)
# RejectPercentLimit of the alarm, and the default of the rule max_rejected.
ALARM_SHARE, WARNING_SHARE = 0.05, 0.1


class EnduranceCloud(Protocol):
    """A deployment that a month is played on. Metrics are cleared when a night starts."""

    def put(self, objects: Mapping[str, bytes]) -> None:
        """Write objects by key."""

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects."""

    def start_night(self, faulty_days: Sequence[TenantDay]) -> None:
        """Replace the previous night's faults and clear its metrics."""

    def fire_schedule(self) -> int:
        """Fire the schedule and return the number of messages that it queued."""

    def consume_queue(self) -> AbstractContextManager[object]:
        """Deliver messages to the worker."""

    def deploy_update(self) -> None:
        """Deploy a new version while the old one runs."""

    def poll(self) -> bool:
        """Deliver job events; return whether the deployment is idle: no visible message, no call, no job."""

    def has_delayed_messages(self) -> bool:
        """Return whether a failed message waits for redelivery."""

    def release_messages(self) -> None:
        """Make failed messages visible after their timeout."""

    def reconcile(self) -> Mapping[str, Any]:
        """Call the watcher's reconciliation and return its summary."""

    def find_firing_alarms(self, now: datetime) -> set[str]:
        """Return the runbooks of the alarms that fire on the night's metrics so far."""

    def entry(self, tenant: str, day: date) -> Mapping[str, Any]:
        """Return the ledger's item of a day, or an empty mapping."""


@dataclass(frozen=True, kw_only=True)
class PlayedNight:
    """A completed night: the alarms that fired and those expected, and its duration."""

    day: date
    fired: frozenset[str]
    expected: frozenset[str]
    seconds: float


@dataclass
class Player:
    """Play a month; `written` has the objects of each tenant-day."""

    cloud: EnduranceCloud
    month: Month
    clock: Clock
    report: Callable[[str], None] = print
    written: dict[tuple[str, date], WrittenDay] = field(default_factory=dict)
    nights: list[PlayedNight] = field(default_factory=list)

    def play(self) -> None:
        """Play the whole month."""
        began = time.monotonic()
        for number, day in enumerate(self.month.days):
            start = time.monotonic()
            fired = self._play_night(day, number)
            seconds = time.monotonic() - start
            self.nights.append(
                PlayedNight(day=day, fired=frozenset(fired), expected=self._expect(day), seconds=seconds)
            )
            self.report(
                f"{self._describe_progress(time.monotonic() - began)}; {', '.join(sorted(fired)) or 'no alarm'}"
            )

    def count_faults(self, day: date) -> Counter[str]:
        """Return the number of a night's faults of each kind, in order of their names."""
        faults = Counter(sorted(str(each.fault) for each in self.month.days[day] if each.fault))
        return faults + Counter({"deploy": int(day == self.month.deploy_day)})

    def _describe_progress(self, seconds: float) -> str:
        """Describe the last night and the time until the month's end, after so many seconds."""
        done, total, last = len(self.nights), len(self.month.days), self.nights[-1]
        left = seconds / done * (total - done)
        return (
            f"night {done} of {total}, {last.day}: {last.seconds:.1f} s, {seconds / 60:.1f} min so far, "
            f"about {left / 60:.1f} min to go"
        )

    def _play_night(self, day: date, number: int) -> set[str]:
        """Play a night and return the alarms that fired."""
        self.clock.set(self._at(day, "23:00"))
        self._write(day, number)
        self.clock.set(self._at(day + timedelta(days=1), "02:00"))
        faulty_days = [each for each in self.month.days[day] if each.fault]
        self.cloud.start_night(faulty_days)
        self.cloud.fire_schedule()
        fired: set[str] = set()
        deadline = self._at(day + timedelta(days=1), "06:00")
        with self.cloud.consume_queue():
            if day == self.month.deploy_day:
                self.cloud.deploy_update()
            while True:
                self._wait_until_idle()
                self.clock.forward(RECONCILE_INTERVAL)
                self.cloud.release_messages()
                summary = self.cloud.reconcile()
                fired |= self.cloud.find_firing_alarms(datetime.now(UTC))
                done = summary["ended"] and self.cloud.poll() and not self.cloud.has_delayed_messages()
                if done or datetime.now(UTC) > deadline:
                    break
            self.clock.set(max(deadline, datetime.now(UTC)) + timedelta(minutes=1))
            self.cloud.reconcile()
            self._wait_until_idle()
        return fired | self.cloud.find_firing_alarms(datetime.now(UTC))

    def _write(self, day: date, number: int) -> None:
        """Write the day's objects, and change those of the day before."""
        for tenant, each in enumerate(self.month.days[day]):
            seed = number * len(self.month.tenants) + tenant
            self.written[each.tenant, day] = written = create_day(each, zone=self.month.zone, seed=seed)
            self.cloud.put(written.first_night)
        previous_day = day - timedelta(days=1)
        for each in self.month.days.get(previous_day, ()):
            written = self.written[each.tenant, previous_day]
            if each.fault in ("late", "refused"):
                self.cloud.put(
                    {key: body for key, body in written.next_night.items() if key not in written.first_night}
                )
                self.cloud.delete([key for key in written.first_night if key not in written.next_night])

    def _expect(self, day: date) -> frozenset[str]:
        """Return the alarms of the night's faults and of its rejected records."""
        expected = {alarm for each in self.month.days[day] if each.fault for alarm in EXPECTED_ALARMS[each.fault]}
        for each in self.month.days[day]:
            records = self.written[each.tenant, day].records
            share = records["rejected"] / max(records["seen"], 1)
            expected |= {"reject-percent"} if share > ALARM_SHARE else set()
            expected |= {"quality-warnings"} if share > WARNING_SHARE else set()
        return frozenset(expected)

    def _wait_until_idle(self) -> None:
        """Wait until the deployment is idle in two polls."""
        deadline = time.monotonic() + TIMEOUT_SECONDS + TIMEOUT_SECONDS_PER_TENANT * len(self.month.tenants)
        idle_polls = 0
        while idle_polls < 2:
            assert time.monotonic() < deadline, "the night did not end in time"
            idle_polls = idle_polls + 1 if self.cloud.poll() else 0
            time.sleep(POLL_SECONDS)

    def _at(self, day: date, hour: str) -> datetime:
        return datetime.fromisoformat(f"{day.isoformat()}T{hour}:00").replace(tzinfo=ZoneInfo(self.month.zone))

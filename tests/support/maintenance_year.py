"""A year of a tenant's days for maintenance: many small days, some published twice, and a few large ones.

A day of each kind is run once; the product's publisher then publishes its files under every date of that kind. Rows of
two such days differ only in their date, which is in no Delta data file. Their commits, files and receipts are as many
as those of a year of runs, at a fraction of the time.
"""

import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

from daily_batch.domain.contract import MESSAGES, TABLES
from daily_batch.domain.receipt import receipt_key
from daily_batch.domain.run import DataFile
from daily_batch.pipeline.process_day import process_day
from daily_batch.pipeline.publish.publisher import DayPublisher
from daily_batch.pipeline.publish.result import PublishResult
from daily_batch.pipeline.runners.local import LocalRunner
from tests.support.day_runs import NO_LIMITS, silent
from tests.support.maintenance_days import SECRET, Tenant, write_export

FIRST = date(2024, 8, 13)
AGE = timedelta(days=40)
# This user's messages are in every fifteenth day and in the large ones.
PERSON = "person-of-the-year"
USERS = 7
_TIMES = re.compile(r'("(?:deletionTimestamp|modificationTime|timestamp)": ?)(\d{13})')


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of days: how many messages, in how many buckets, and whether the person wrote some of them."""

    name: str
    messages: int
    buckets: int = 2
    person: bool = False
    # Of the content of each message.
    characters: int = 60

    def records(self, day: date) -> Iterator[str]:
        """Yield the lines of an export: valid messages, and a reject of each user's."""
        for number in range(self.messages):
            is_persons = self.person and number % 10 == 0
            user = PERSON if is_persons else f"user-{number % USERS}"
            at = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(
                seconds=number * 50_000 // self.messages
            )
            content = f"{SECRET}{user} {number} " + f"{number * 7919 % 10**9:09d} " * (self.characters // 10)
            yield json.dumps(
                {
                    "message_id": f"{self.name}-{number}",
                    "room_id": f"room-{number % 97}",
                    "user_id": user,
                    "timestamp": f"{at:%Y-%m-%dT%H:%M:%S}Z",
                    "role": "user" if number % 2 else "assistant",
                    "content": content,
                }
            )
        yield f'{{"user_id": "{PERSON if self.person else "user-0"}", "content": "{SECRET}cut off'


@dataclass(frozen=True, kw_only=True)
class Year:
    """Which days there are; `large` is the kind of the days `large_days`, by their number in the year."""

    days: int = 365
    messages: int = 20
    large: Kind = field(default=Kind(name="large", messages=50_000, buckets=6, person=True))
    large_days: tuple[int, ...] = (100, 250)

    def kinds(self, number: int) -> Sequence[Kind]:
        """Return the kinds as which a day is published, one after the other."""
        if number in self.large_days:
            return (self.large,)
        person = number % 15 == 0
        first = Kind(name=f"small-{number % 3}{'-person' * person}", messages=self.messages, person=person)
        # A late file: the day is run again with three messages more, and leaves the files of its first run.
        late = replace(first, name=f"{first.name}-late", messages=self.messages + 3)
        return (first, late) if number % 10 in (3, 5) else (first,)

    def day(self, number: int) -> date:
        """Return a day by its number."""
        return FIRST + timedelta(days=number)

    @property
    def persons_days(self) -> list[date]:
        """The days with rows of the person."""
        return [self.day(number) for number in range(self.days) if self.kinds(number)[-1].person]


def make_year(folder: Path, year: Year) -> Tenant:
    """Publish a year, and make all of it older than any retention."""
    tenant = Tenant(folder / "out")
    runs: dict[Kind, _Run] = {}
    for number in range(year.days):
        for kind in year.kinds(number):
            if kind not in runs:
                runs[kind] = _run(kind, folder / "kinds")
            runs[kind].publish_as(year.day(number), tenant)
    shutil.rmtree(folder / "kinds")
    make_old(tenant)
    return tenant


def make_old(tenant: Tenant) -> None:
    """Make the files and the log's entries of a tenant 40 days older, and the checkpoints accordingly."""
    for table in TABLES:
        log = tenant.root / table.name / "_delta_log"
        for path in log.iterdir():
            if path.suffix == ".json":
                path.write_text(_TIMES.sub(_earlier, path.read_text()))
        checkpoints = [*log.glob("*.checkpoint.parquet"), log / "_last_checkpoint"]
        if (log / f"{0:020d}.json").exists():
            for path in checkpoints:
                path.unlink(missing_ok=True)
            DeltaTable(str(log.parent)).create_checkpoint()
    then = time.time() - AGE.total_seconds()
    for path in tenant.root.rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


def _earlier(found: "re.Match[str]") -> str:
    return f"{found[1]}{int(found[2]) - int(AGE.total_seconds() * 1000)}"


@dataclass(frozen=True)
class _Run:
    """The run of one day: where its tables are, its files, and its receipt."""

    tenant: Tenant
    day: date
    run_id: str
    files: Mapping[str, Sequence[DataFile]]

    def publish_as(self, day: date, tenant: Tenant) -> None:
        """Publish the files under another date."""
        old, new = f"date={self.day}", f"date={day}"
        files = {
            name: [replace(file, path=file.path.replace(old, new)) for file in files]
            for name, files in self.files.items()
        }
        for name, originals in self.files.items():
            for original, copy in zip(originals, files[name], strict=True):
                target = tenant.root / name / copy.path
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.tenant.root / name / original.path, target)
        publisher = DayPublisher.snapshot(tenant.request(tenant.output, day), tenant.tables.storage)
        token = publisher.held_token + 1
        fenced = publisher.fenced(token, write_now=False, confirm=lambda: None)
        fenced.publish(files, run_id=self.run_id, metadata={}, progress=silent)
        receipt = self.tenant.output / receipt_key(tenant.name, self.day, self.run_id)
        copied = tenant.output / receipt_key(tenant.name, day, self.run_id)
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_text(receipt.read_text().replace(self.day.isoformat(), day.isoformat()))


@dataclass(frozen=True, kw_only=True)
class _RecordingPublisher(DayPublisher):
    """Publishes as usual, and keeps the files of each table."""

    files: dict[str, Sequence[DataFile]] = field(default_factory=dict)

    def publish(self, files: Mapping[str, Sequence[DataFile]], **named: Any) -> dict[str, PublishResult]:
        self.files.update(files)
        return super().publish(files, **named)


def _run(kind: Kind, folder: Path) -> _Run:
    """Run a day of a kind."""
    source = write_export(folder / kind.name / "in", list(kind.records(FIRST)), day=FIRST)
    tenant = Tenant(folder / kind.name / "out")
    request = tenant.request(source, FIRST)
    publisher = _RecordingPublisher(request=request, storage=tenant.tables.storage, opened={})
    publisher = replace(publisher, opened=DayPublisher.snapshot(request, tenant.tables.storage).opened)
    run_id = f"20250101T000000Z-{kind.name}"
    settings = tenant.settings(**NO_LIMITS, buckets=kind.buckets)
    process_day(
        request,
        settings,
        LocalRunner(),
        publisher,
        run_id=run_id,
        now=datetime(2025, 1, 1, tzinfo=UTC),
        progress=silent,
    )
    assert len(publisher.files[MESSAGES.name]) == kind.buckets
    return _Run(tenant, FIRST, run_id, publisher.files)

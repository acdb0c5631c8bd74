"""A week of tenant acme and three days before it, published night by night; one day is run twice for late objects."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from daily_batch.domain.calendar import days_between
from daily_batch.domain.request import Request
from daily_batch.domain.url import parse_url
from daily_batch.pipeline.discover.discover import open_storage
from daily_batch.pipeline.process_day import process_day
from daily_batch.pipeline.publish.publisher import DayPublisher
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.settings import load_settings
from daily_batch.synthetic import FaultRates, generate
from tests.oracle.day import Expected, Oracle, Stored
from tests.support.day_runs import DAY, SAMPLES, silent

MONDAY, SUNDAY = date(2025, 8, 11), date(2025, 8, 17)
WEEK = tuple(days_between(MONDAY, SUNDAY, max_days=7))
# The first leaves the window of 30 days within WEEK, the second that of 7 days; both have users who do not come back.
EARLIER = {date(2025, 7, 15): 400, date(2025, 8, 5): 250, date(2025, 8, 9): 30}
FIRST_SEED = 8  # gives both more users than the days after them
DAYS = (*EARLIER, *WEEK)
# Every 16th object arrives after the day's first run.
LATE = 16
RERUN_AT = datetime(2025, 8, 17, 18, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Week:
    """The tables by format, the oracle's result for each day, and its result for DAY before the late objects."""

    tables: Mapping[str, Path]
    days: Mapping[date, Expected]
    before: Expected

    def rows(self, day: date = DAY) -> list[dict[str, Any]]:
        """Return the messages of a day."""
        return self.days[day].rows


def publish_week(folder: Path) -> Week:
    """Write the input, run each day in its night, then run DAY again with the late objects."""
    source, late = folder / "in", folder / "late"
    shutil.copytree(SAMPLES / "acme", source / "acme")
    for seed, day in enumerate(DAYS, FIRST_SEED):
        if day != DAY:
            rates = FaultRates.parse("default")
            out = folder / f"{day}"
            messages = EARLIER.get(day, 30)
            generate(
                messages=messages, layout="export", seed=seed, out=out, tenant="acme", day=day, rates=rates, files=1
            )
            shutil.copytree(out / "acme", source / "acme", dirs_exist_ok=True)
    late_paths = sorted(path for path in source.rglob("*.json*") if f"{DAY:/messages/%Y/%m/%d/}" in str(path))[::LATE]
    for path in late_paths:
        _move(path, late / path.relative_to(source))
    before = _expect(source, DAY)
    tables = {kind: folder / kind for kind in ("delta", "parquet")}
    for day in DAYS:
        _run(source, tables, day, now=night_of(day))
    for path in late_paths:
        _move(late / path.relative_to(source), path)
    _run(source, tables, DAY, now=RERUN_AT)
    return Week(tables, {day: _expect(source, day) for day in DAYS}, before)


def night_of(day: date) -> datetime:
    """Return the time of the day's scheduled run: 02:00 of the next day in Tokyo."""
    return datetime.combine(day, time(17), UTC)


def run_id_of(day: date, now: datetime) -> str:
    """Return the run id of the day's run at `now`."""
    return f"{now:%Y%m%dT%H%M%SZ}-{day:%m%d}0000"


def last_run(day: date) -> tuple[str, datetime]:
    """Return the id and the start of the run whose rows are published."""
    now = RERUN_AT if day == DAY else night_of(day)
    return run_id_of(day, now), now


def _run(source: Path, tables: Mapping[str, Path], day: date, *, now: datetime) -> None:
    settings = load_settings(flags={}, environ={})
    for kind, output in tables.items():
        urls = {"input": parse_url(str(source)), "output": parse_url(str(output))}
        request = Request(tenant="acme", day=day, table_format=kind, **urls)  # type: ignore[arg-type]
        publisher = DayPublisher.snapshot(request, open_storage(request, settings))
        process_day(request, settings, LocalRunner(), publisher, run_id=run_id_of(day, now), now=now, progress=silent)


def _expect(source: Path, day: date) -> Expected:
    near = [f"{day + timedelta(days=days):%Y/%m/%d}/" for days in (-1, 0, 1)]
    paths = [path for path in source.rglob("*") if path.is_file() and any(part in str(path) for part in near)]
    objects = {str(path.relative_to(source)): Stored(path.read_bytes(), path.stat().st_mtime) for path in paths}
    return Oracle(day=day).expect(objects)


def _move(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    path.rename(target)

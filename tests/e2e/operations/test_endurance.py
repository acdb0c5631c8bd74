"""Play a week of twelve tenants with faults on each local cloud; `make endurance-test` plays a month of 200 tenants.

ENDURANCE_TENANTS, ENDURANCE_DAYS, ENDURANCE_SURGES and ENDURANCE_SEED change the month; ENDURANCE_REPORT is a folder
for its reports.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from daily_batch.cli import app
from tests.local_cloud.common.clock import VARIABLE, Clock
from tests.support.day_runs import read_tables
from tests.support.endurance import on_aws, on_azure
from tests.support.endurance.month import Month, script_month
from tests.support.endurance.player import Player

pytestmark = pytest.mark.long
CLOUDS: dict[str, ModuleType] = {"aws": on_aws, "azure": on_azure}
DEFAULTS = {"tenants": 12, "days": 7, "surges": 1, "seed": 1}


@dataclass(frozen=True, kw_only=True)
class PlayedMonth:
    """A completed month."""

    month: Month
    player: Player
    cloud: Any


@pytest.fixture(scope="module", params=CLOUDS)
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlayedMonth]:
    folder = tmp_path_factory.mktemp("endurance")
    options = {name: int(os.environ.get(f"ENDURANCE_{name.upper()}") or value) for name, value in DEFAULTS.items()}
    month = script_month(**options)
    with (
        shared_clock(folder / "clock", month.start) as clock,
        CLOUDS[request.param].serve_month(month, clock=clock, folder=folder) as cloud,
    ):
        player = Player(cloud=cloud, month=month, clock=clock)
        player.play()
        yield PlayedMonth(month=month, player=player, cloud=cloud)


@contextmanager
def shared_clock(file: Path, start: datetime) -> Iterator[Clock]:
    """Share a clock with the processes that this one starts."""
    clock = Clock(file)
    clock.set(start)
    os.environ |= clock.environment
    try:
        yield clock
    finally:
        os.environ.pop(VARIABLE)
        clock.restore()


def test_every_day_completes_unless_its_fault_persists(played: PlayedMonth) -> None:
    last = max(played.month.days)
    for day, tenants in played.month.days.items():
        for each in tenants:
            entry = played.cloud.entry(each.tenant, day)
            if each.fault == "refused" and day == last:
                assert (entry["status"], "max_unreadable" in entry["error"]) == ("FAILED", True)
            else:
                assert entry["status"] in ("COMPLETED", "COMPLETED_WITH_REJECTS"), (each, entry)


def test_receipts_match_an_independent_count(played: PlayedMonth) -> None:
    for (tenant, day), written in played.player.written.items():
        entry = played.cloud.entry(tenant, day)
        if entry["status"] == "FAILED":
            continue
        receipt = json.loads(played.cloud.read(entry["receipt"]))
        assert receipt["records"] == written.records, (tenant, day)
        assert receipt["objects"]["listed"] == len(written.next_night), (tenant, day)
        assert receipt["objects"]["unreadable"] == written.unreadable, (tenant, day)


def test_tables_contain_every_day_once_and_no_other_row(played: PlayedMonth) -> None:
    for tenant in played.month.tenants:
        tables = read_tables(played.cloud.root, tenant=tenant, day=None, options=played.cloud.options)
        found: dict[str, int] = {}
        for row in tables["messages"]:
            found[row["date"].isoformat()] = found.get(row["date"].isoformat(), 0) + 1
        expected = {
            day.isoformat(): written.records["written"]
            for (name, day), written in played.player.written.items()
            if name == tenant and played.cloud.entry(tenant, day)["status"] != "FAILED"
        }
        assert found == expected, tenant


def test_alarms_fire_only_for_injected_faults(played: PlayedMonth) -> None:
    fired = {night.day: sorted(night.fired) for night in played.player.nights}
    assert fired == {night.day: sorted(night.expected) for night in played.player.nights}
    assert {alarm for night in played.player.nights for alarm in night.expected} >= {
        *("quality-warnings", "days-failed", "days-late", "function-errors", "days-unusual", "days-drifted"),
    }


def test_report_covers_every_day_and_names_failed_tenants(
    played: PlayedMonth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in played.cloud.environment.items():
        monkeypatch.setenv(name, value)
    first, last = min(played.month.days), max(played.month.days)
    page = Path(os.environ.get("ENDURANCE_REPORT") or tmp_path) / f"{type(played.cloud).__name__}.html"
    words = ["report", "--all-tenants", "--from", first.isoformat(), "--to", last.isoformat()]
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    result = CliRunner().invoke(app, [*words, "--markdown", "--html", str(page)])
    assert result.exit_code == 0, result.stderr
    page.with_suffix(".md").write_text(f"{result.stdout}\n{played.player.describe()}", encoding="utf-8")
    failed = {each.tenant for each in played.month.days[last] if each.fault == "refused"}
    assert len(report["days"]) == len(played.month.tenants) * len(played.month.days)
    assert {each["tenant"] for each in report["needs_attention"]} == failed
    written = {key: each.records["written"] for key, each in played.player.written.items()}
    assert report["total"]["messages"] == sum(
        written[tenant, day] for tenant, day in written if not (day == last and tenant in failed)
    )
    assert "</html>" in page.read_text(encoding="utf-8")

"""Play a week of twelve tenants with faults on each local cloud; `make endurance-test` plays a month of 200 tenants.

ENDURANCE_TENANTS, ENDURANCE_DAYS, ENDURANCE_SURGES and ENDURANCE_SEED change the month; ENDURANCE_REPORT is a folder
for its reports and figures (`tests/support/endurance/figures.py`).
"""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from daily_batch.cli import app
from tests.local_cloud.common.clock import VARIABLE, Clock
from tests.support.day_runs import read_tables
from tests.support.endurance import on_aws, on_azure
from tests.support.endurance.figures import collect_figures, write_tables
from tests.support.endurance.month import Month, script_month
from tests.support.endurance.player import Player
from tests.support.endurance.usage import Usage, measure_usage

pytestmark = pytest.mark.long
CLOUDS: dict[str, ModuleType] = {"aws": on_aws, "azure": on_azure}
NAMES = {"aws": "AWS", "azure": "Azure"}
DEFAULTS = {"tenants": 12, "days": 7, "surges": 1, "seed": 1}


@dataclass(kw_only=True)
class PlayedMonth:
    """A completed month; `counted` has what the tests found, beside what the script expects."""

    name: str
    month: Month
    player: Player
    cloud: Any
    usage: Usage
    counted: dict[str, int] = field(default_factory=dict)

    @cached_property
    def entries(self) -> Mapping[tuple[str, date], Mapping[str, Any]]:
        """The ledger's items at the end."""
        return {key: self.cloud.entry(*key) for key in self.player.written}


@pytest.fixture(scope="module", params=CLOUDS)
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlayedMonth]:
    folder = tmp_path_factory.mktemp("endurance")
    options = {name: int(os.environ.get(f"ENDURANCE_{name.upper()}") or value) for name, value in DEFAULTS.items()}
    month = script_month(**options)
    with (
        shared_clock(folder / "clock", month.start) as clock,
        measure_usage() as usage,
        CLOUDS[request.param].serve_month(month, clock=clock, folder=folder) as cloud,
    ):
        player = Player(cloud=cloud, month=month, clock=clock)
        player.play()
        yield PlayedMonth(name=NAMES[request.param], month=month, player=player, cloud=cloud, usage=usage)


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
            entry = played.entries[each.tenant, day]
            if each.fault == "refused" and day == last:
                assert (entry["status"], "max_unreadable" in entry["error"]) == ("FAILED", True)
            else:
                assert entry["status"] in ("COMPLETED", "COMPLETED_WITH_REJECTS"), (each, entry)


def test_receipts_match_an_independent_count(played: PlayedMonth) -> None:
    expected = found = 0
    for (tenant, day), written in played.player.written.items():
        entry = played.entries[tenant, day]
        if entry["status"] == "FAILED":
            continue
        receipt = json.loads(played.cloud.read(entry["receipt"]))
        assert receipt["records"] == written.records, (tenant, day)
        assert receipt["objects"]["listed"] == len(written.next_night), (tenant, day)
        assert receipt["objects"]["unreadable"] == written.unreadable, (tenant, day)
        expected, found = expected + written.records["rejected"], found + receipt["records"]["rejected"]
    played.counted |= {"rejected": found, "rejected_expected": expected}


def test_tables_contain_every_day_once_and_no_other_row(played: PlayedMonth) -> None:
    totals: Counter[str] = Counter()
    for tenant in played.month.tenants:
        tables = read_tables(played.cloud.root, tenant=tenant, day=None, options=played.cloud.options)
        found: dict[str, int] = {}
        for row in tables["messages"]:
            found[row["date"].isoformat()] = found.get(row["date"].isoformat(), 0) + 1
        expected = {
            day.isoformat(): written.records["written"]
            for (name, day), written in played.player.written.items()
            if name == tenant and played.entries[tenant, day]["status"] != "FAILED"
        }
        assert found == expected, tenant
        totals.update(messages=sum(found.values()), messages_expected=sum(expected.values()))
    played.counted |= totals


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
    page.with_suffix(".md").write_text(result.stdout, encoding="utf-8")
    failed = {each.tenant for each in played.month.days[last] if each.fault == "refused"}
    assert len(report["days"]) == len(played.month.tenants) * len(played.month.days)
    assert {each["tenant"] for each in report["needs_attention"]} == failed
    written = {key: each.records["written"] for key, each in played.player.written.items()}
    assert report["total"]["messages"] == sum(
        written[tenant, day] for tenant, day in written if not (day == last and tenant in failed)
    )
    assert "</html>" in page.read_text(encoding="utf-8")


def test_figures_of_the_month_are_written(played: PlayedMonth, tmp_path: Path) -> None:
    if len(played.counted) < 4:
        pytest.skip("the tests that count did not run")
    figures = collect_figures(
        played.player,
        cloud=played.name,
        states=Counter(str(entry["status"]) for entry in played.entries.values()),
        counted=played.counted,
        usage=played.usage,
    )
    file = Path(os.environ.get("ENDURANCE_REPORT") or tmp_path) / f"{type(played.cloud).__name__}.json"
    file.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    tables = write_tables({played.name: json.loads(file.read_text(encoding="utf-8"))})
    file.with_suffix(".figures.md").write_text(tables, encoding="utf-8")
    print(f"\n{tables}")
    assert f"| tenant-days | {len(played.player.written):,} |" in tables
    assert figures["messages"] == figures["messages_expected"] > 0
    assert figures["rejected"] == figures["rejected_expected"]

"""A year of days, small and large: each command ends alike whole, killed at random requests, and on a Spark cluster."""

import random
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.local_cloud.common.processes import kill_child
from tests.support.counting_s3 import counting_s3
from tests.support.maintenance_days import Tenant
from tests.support.maintenance_year import AGE, PERSON, Year, make_year
from tests.support.spark_cluster import ROOT, running_cluster
from tests.support.year_commands import COMMANDS, State, YearOnS3, kill

pytestmark = pytest.mark.long

KILLS = 6
MIB = 2**20
# Requests a day: a compaction of two tables took 60, an erased day 700 and a searched one 6.
MOST_REQUESTS = {"optimize": 100, "vacuum": 10, "erase": 100}
YEAR = Year()


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Tenant:
    return make_year(tmp_path_factory.mktemp("year"), YEAR)


@pytest.fixture
def on_s3(tmp_path: Path, year: Tenant) -> Iterator[YearOnS3]:
    with serve_year(tmp_path, year) as served:
        yield served


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, year: Tenant) -> "tuple[YearOnS3, dict[str, State]]":
    """Run the commands one after the other, without a fault."""
    with serve_year(tmp_path_factory.mktemp("whole"), year) as served:
        states = {"": served.state()}
        for command in COMMANDS:
            served.run(command)
            states[command] = served.state()
            if command == "optimize":
                served.age()
        assert served.naming(PERSON) == []
    return served, states


def serve_year(folder: Path, year: Tenant):
    from contextlib import contextmanager

    @contextmanager
    def serve() -> Iterator[YearOnS3]:
        with counting_s3() as (service, endpoint):
            service.load(year.output, modified=time.time() - AGE.total_seconds())
            yield YearOnS3(service, endpoint, folder)

    return serve()


def test_commands_keep_every_row_of_others_and_leave_only_live_files(whole) -> None:
    _, states = whole
    assert states["optimize"].rows == states["vacuum"].rows == states[""].rows
    assert len(states[""].files["messages"]) == YEAR.days
    assert states[""].unnamed > 0
    for table in ("messages", "turns"):
        assert set(states[""].files[table].values()) == {2, 6}
        assert set(states["optimize"].files[table].values()) == {1}
    assert states["vacuum"].files == states["optimize"].files
    assert states["vacuum"].unnamed == states["erase"].unnamed == 0
    removed = sum(len(range(0, kind.messages, 10)) for number in range(YEAR.days) for kind in YEAR.kinds(number)[-1:] if kind.person)
    assert states["erase"].rows["messages"][0] == states["vacuum"].rows["messages"][0] - removed
    assert len(states["erase"].files["messages"]) == YEAR.days


def test_requests_grow_with_the_days(whole) -> None:
    served, _ = whole
    for command, most in MOST_REQUESTS.items():
        assert served.requests[command].total() < most * YEAR.days, served.requests[command]

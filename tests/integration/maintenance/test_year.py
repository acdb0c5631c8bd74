"""A year of days, small and large: each command ends alike whole, killed at random requests, and on a Spark cluster."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from tests.local_cloud.common.processes import kill_child
from tests.support.counting_s3 import counting_s3
from tests.support.maintenance_days import Tenant
from tests.support.maintenance_year import AGE, PERSON, Kind, Year, make_year
from tests.support.spark_cluster import Driver, running_cluster
from tests.support.spark_session import read_conf
from tests.support.year_commands import COMMANDS, State, YearOnS3, kill

pytestmark = pytest.mark.long

Whole = tuple[YearOnS3, dict[str, State]]

KILLS, KILLS_ON_CLUSTER = 6, 2
MIB = 2**20
# A day of a compaction of two tables took 23, an erased day 430 and a searched one 6.
MOST_REQUESTS = {"optimize": 40, "vacuum": 10, "erase": 60}
# Which part of all requests a run lives for at most; all runs together must not complete the work. A vacuum lists and
# reads everything again.
LIVES = {"optimize": 8, "vacuum": 3, "erase": 8}
# The messages of a large day are on Spark, and those of the whole table.
ON_SPARK = str(128 * 1024)
FEW_TASKS = {"spark.databricks.delta.snapshotPartitions": "2", "spark.sql.shuffle.partitions": "2"}
DELTA = ("spark.jars", "spark.sql.extensions", "spark.sql.catalog.spark_catalog")
YEAR = Year()


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Tenant:
    """Publish the year once."""
    return make_year(tmp_path_factory.mktemp("year"), YEAR)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, year: Tenant) -> Iterator[Whole]:
    """Run the commands one after the other, without a fault; the files are old before the vacuum."""
    with _serve(tmp_path_factory.mktemp("whole"), year) as served:
        states = {"": served.state()}
        for command in COMMANDS:
            served.run(command)
            states[command] = served.state()
            if command == "optimize":
                served.age()
        yield served, states


@contextmanager
def _serve(folder: Path, year: Tenant) -> Iterator[YearOnS3]:
    with counting_s3() as (service, endpoint):
        service.load(year.output, modified=time.time() - AGE.total_seconds())
        yield YearOnS3(service, endpoint, folder)


def _moments(command: str, kills: int, whole: YearOnS3) -> list[int]:
    last = whole.requests[command].total() // LIVES[command]
    return random.Random(command).sample(range(1, last), kills)


def test_commands_keep_every_row_of_others_and_leave_only_live_files(whole: Whole) -> None:
    served, states = whole
    assert states["optimize"].rows == states["vacuum"].rows == states[""].rows
    assert len(states[""].files["messages"]) == YEAR.days
    assert states[""].unnamed > 0
    for table in ("messages", "turns"):
        assert set(states[""].files[table].values()) == {2, 6}
        assert set(states["optimize"].files[table].values()) == {1}
    assert states["vacuum"].files == states["optimize"].files
    assert states["vacuum"].unnamed == states["erase"].unnamed == 0
    published = [YEAR.kinds(number)[-1] for number in range(YEAR.days)]
    removed = sum(len(range(0, kind.messages, 10)) for kind in published if kind.person)
    assert states["erase"].rows["messages"][0] == states["vacuum"].rows["messages"][0] - removed
    assert len(states["erase"].files["messages"]) == YEAR.days
    assert served.naming(PERSON) == []


def test_requests_grow_with_the_days(whole: Whole) -> None:
    served, _ = whole
    for command, most in MOST_REQUESTS.items():
        assert served.requests[command].total() < most * YEAR.days, served.requests[command]


def _assert_optimized(served: YearOnS3, states: dict[str, State]) -> None:
    """Assert that the year is as after an uninterrupted optimize, and make its files old for the vacuum."""
    assert served.state().rows == states["optimize"].rows
    assert served.state().files == states["optimize"].files
    served.age()


def _assert_erased(served: YearOnS3, states: dict[str, State]) -> None:
    assert served.state() == states["erase"]
    assert served.naming(PERSON) == []


def test_killed_commands_end_as_whole_ones_after_they_are_run_again(tmp_path: Path, year: Tenant, whole: Whole) -> None:
    expected, states = whole
    with _serve(tmp_path, year) as served:
        others = served.others()
        for command in COMMANDS:
            with served.readers(command) as seen:
                moments = _moments(command, KILLS, expected)
                assert served.run_killed(moments, partial(served.start, command), kill) == KILLS
                served.run(command)
            assert seen == {others}
            if command == "optimize":
                _assert_optimized(served, states)
        _assert_erased(served, states)


def test_spark_cluster_ends_as_one_process_does_also_if_drivers_are_killed(
    tmp_path: Path, year: Tenant, whole: Whole
) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux has an address for each host")
    expected, states = whole
    (tmp_path / "c").mkdir()
    with (
        _serve(tmp_path / "year", year) as served,
        running_cluster(tmp_path / "c", endpoint=served.endpoint) as cluster,
    ):
        others, runs = served.others(), count()
        local = read_conf()
        delta = {name: local[name] for name in DELTA} | FEW_TASKS
        environment = {"MAKOTO_MAINTAIN_SPARK_BYTES": ON_SPARK}

        def start(command: str) -> Driver:
            arguments = served.arguments(command)
            name = f"{command}-{next(runs)}"
            return cluster.submit("maintain_tables.py", *arguments, name=name, conf=delta, environment=environment)

        def start_process(command: str) -> "subprocess.Popen[bytes]":
            return start(command).process

        for command in COMMANDS:
            with served.readers(command) as seen:
                moments = _moments(command, KILLS_ON_CLUSTER, expected)
                hit = served.run_killed(moments, partial(start_process, command), kill_child)
                assert hit == KILLS_ON_CLUSTER
                last = start(command)
                assert last.wait() == 0, last.stderr[-6000:]
            assert last.events("JobEnd") != [], "nothing was done on Spark"
            assert seen == {others}
            if command == "optimize":
                _assert_optimized(served, states)
        _assert_erased(served, states)


def test_memory_depends_neither_on_the_days_nor_on_the_rows_of_a_day(tmp_path: Path, whole: Whole) -> None:
    """The month has a twelfth of the days, and its only large day has a tenth of the rows."""
    served, _ = whole
    large = Kind(name="large", messages=YEAR.large.messages // 10, buckets=6, person=True)
    month = make_year(tmp_path / "month", Year(days=30, large=large, large_days=(15,)))
    with _serve(tmp_path / "served", month) as smaller:
        for command in COMMANDS:
            smaller.run(command)
            assert served.peaks[command] < smaller.peaks[command] + 150 * MIB, (served.peaks, smaller.peaks)

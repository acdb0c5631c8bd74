"""A room with more than half of a day's messages is one bucket: it is sorted within the settings' memory, and exact."""

from pathlib import Path

import duckdb
import pyarrow.dataset as ds
import pytest
from deltalake import DeltaTable

from bench.job import spark_job
from bench.measure import Run, measure
from bench.p3_local import MEMORY, local_job
from bench.skewed_day import HUGE_ROOM, SkewedDay, write_day
from daily_batch.domain.contract import TABLES
from daily_batch.pipeline.runners.size_workers import PROCESS_BYTES, TASK_BYTES, TASK_MEMORY_PARTS
from tests.support.day_runs import RUN_COLUMNS

pytestmark = pytest.mark.long  # two processes, each with a day of two hundred megabytes

DAY = SkewedDay(messages=340_000, huge=300_000, rooms=5_000, files=4)
MIB = 2**20
FUNCTION_MIB = 768
TASK_MIB, CORES = 192, 2


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the day once."""
    return write_day(DAY, tmp_path_factory.mktemp("skewed"))


@pytest.fixture(scope="module")
def local(day: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """Run the day in a small function."""
    folder = tmp_path_factory.mktemp("local")
    command = local_job(source=str(day), output=str(folder), layout="export").command
    return folder, measure(command, env={MEMORY: str(FUNCTION_MIB)}, log=folder.with_suffix(".log"))


@pytest.fixture(scope="module")
def spark_submitted(day: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """Run the day by spark-submit, with little memory for each task."""
    folder = tmp_path_factory.mktemp("spark")
    command = spark_job(source=str(day), output=str(folder), layout="export").command
    return folder, measure(command, env={"MAKOTO_MEMORY_BYTES": str(TASK_MIB * MIB)}, log=folder.with_suffix(".log"))


def read_counts(output: Path, run: Run) -> dict[str, int]:
    """Return the counts of the receipt, and of the tables where they hold the huge room."""
    (receipt,) = run.report["receipts"]  # type: ignore[misc]  # JSON
    counts = {name: receipt["records"][name] for name in ("written", "duplicates", "superseded")}
    return counts | {name: count_rows(output, name) for name in ("turns", "rooms_daily")}


def count_rows(output: Path, table: str, room: str = "") -> int:
    rows = DeltaTable(f"{output}/acme/analytics/{table}").to_pyarrow_dataset()
    return int(rows.count_rows(filter=ds.field("room_id") == room if room else None))


def check_exact(output: Path, run: Run) -> None:
    assert read_counts(output, run) == DAY.expected()
    assert count_rows(output, "messages", HUGE_ROOM) == DAY.huge
    assert count_rows(output, "turns", HUGE_ROOM) == DAY.huge // 2


def test_local_runner_sorts_it_within_the_memory_of_its_function(local: tuple[Path, Run]) -> None:
    check_exact(*local)
    assert local[1].peak_mib < FUNCTION_MIB


def test_spark_sorts_it_within_the_memory_of_its_tasks(spark_submitted: tuple[Path, Run]) -> None:
    check_exact(*spark_submitted)
    per_task = PROCESS_BYTES + TASK_BYTES + TASK_MEMORY_PARTS * TASK_MIB * MIB
    assert spark_submitted[1].peak_mib_by_kind["workers"] < CORES * per_task / MIB


def test_both_runners_publish_the_same_rows(local: tuple[Path, Run], spark_submitted: tuple[Path, Run]) -> None:
    for table in TABLES:
        names = ", ".join(name for name in table.names if name not in RUN_COLUMNS)
        ours, other = (
            DeltaTable(f"{output}/acme/analytics/{table.name}").to_pyarrow_dataset()
            for output in (local[0], spark_submitted[0])
        )
        with duckdb.connect() as connection:
            connection.register("ours", ours)
            connection.register("other", other)
            for one, two in (("ours", "other"), ("other", "ours")):
                query = f"SELECT count(*) FROM (SELECT {names} FROM {one} EXCEPT ALL SELECT {names} FROM {two})"
                assert connection.execute(query).fetchall() == [(0,)], table.name

"""Test that no row is lost, doubled or left when executors and their Python die at any moment of a day."""

import pytest

from tests.support.cluster_runs import Fault, FaultRun, Inputs, named, seeded, start_run
from tests.support.spark_cluster import SparkCluster

pytestmark = pytest.mark.long

KILLED = named(
    [
        *seeded(4, point="map", action="kill the executor"),
        *seeded(4, point="reduce", action="kill the executor"),
        Fault(point="recover", action="kill the executor"),
        Fault(point="publish", action="kill all executors"),
        *seeded(2, point="merge", action="kill the executor"),
    ]
)
# While tasks of the first wave reduce; those of the second then lack map output.
SHUFFLED = named(
    [
        *seeded(4, point="reduce", action="kill the other executors", partitions=2),
        *seeded(1, point="merge", action="kill the other executors", partitions=2),
    ]
)
PYTHON = named(
    [
        *seeded(2, point="map", action="kill Python"),
        *seeded(2, point="reduce", action="kill Python"),
        *seeded(1, point="merge", action="kill Python"),
    ]
)
MEMORY = named([Fault(point=point, action="limit memory") for point in ("map", "reduce")])
FAULTS = {**KILLED, **SHUFFLED, **PYTHON, **MEMORY}


@pytest.fixture(scope="module")
def run(cluster: SparkCluster, inputs: Inputs) -> FaultRun:
    return start_run(cluster, inputs, FAULTS, name="lost-executors").wait()


@pytest.mark.parametrize("tenant", KILLED)
def test_day_is_complete_although_an_executor_was_killed(run: FaultRun, tenant: str) -> None:
    killed = run.struck(tenant)["executors"]
    assert killed
    assert set(killed) <= run.removed_executors().keys()
    if FAULTS[tenant].point != "publish":
        assert "ExecutorLostFailure" in run.reasons_after(tenant)
    run.assert_published(tenant)


@pytest.mark.parametrize("tenant", SHUFFLED)
def test_day_is_complete_although_map_output_was_lost_during_the_shuffle(run: FaultRun, tenant: str) -> None:
    assert set(run.struck(tenant)["executors"]) <= run.removed_executors().keys()
    assert "FetchFailed" in run.reasons_after(tenant)
    run.assert_published(tenant)


@pytest.mark.parametrize("tenant", [*PYTHON, *MEMORY])
def test_day_is_complete_although_python_was_killed_or_out_of_memory(run: FaultRun, tenant: str) -> None:
    failed = [event for event in run.ends_after(tenant) if event["Task End Reason"]["Reason"] == "ExceptionFailure"]
    assert len(failed) == 1
    assert failed[0]["Task Info"]["Launch Time"] <= run.struck(tenant)["at"] * 1000
    run.assert_published(tenant)


def test_killed_tasks_leave_no_folder_on_the_workers(cluster: SparkCluster, run: FaultRun) -> None:
    assert run.struck(next(iter(PYTHON)))["hit"]
    cluster.await_no_task_folders()

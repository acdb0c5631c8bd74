"""Test that a day is complete on a cluster that loses machines, decommissions, speculates or shrinks meanwhile."""

import re
from collections.abc import Iterator

import pytest

from tests.support.cluster_runs import Fault, FaultRun, Inputs, named, seeded, start_run
from tests.support.spark_cluster import SparkCluster

pytestmark = pytest.mark.long

DECOMMISSIONING = {
    "spark.decommission.enabled": "true",
    "spark.storage.decommission.enabled": "true",
    # A spot instance is gone two minutes after its notice, whatever still runs on it.
    "spark.executor.decommission.forceKillTimeout": "2s",
}
SPECULATION = {
    "spark.speculation": "true",
    "spark.speculation.interval": "100ms",
    "spark.speculation.multiplier": "1.1",
    "spark.speculation.quantile": "0.5",
    "spark.speculation.minTaskRuntime": "100ms",
}
ALLOCATION = {
    "spark.dynamicAllocation.enabled": "true",
    "spark.dynamicAllocation.minExecutors": "1",
    "spark.dynamicAllocation.schedulerBacklogTimeout": "1s",
}


@pytest.fixture
def three_workers(shared_cluster: SparkCluster) -> Iterator[SparkCluster]:
    """Return the cluster with three workers, of which a test may lose some."""
    shared_cluster.fill(3)
    yield shared_cluster
    for number in list(shared_cluster.workers):
        shared_cluster.kill(number)
    shared_cluster.fill(2)


@pytest.fixture
def two_workers(shared_cluster: SparkCluster) -> SparkCluster:
    shared_cluster.fill(2)
    return shared_cluster


def test_day_is_complete_although_workers_are_gone_for_good(three_workers: SparkCluster, inputs: Inputs) -> None:
    first = seeded(1, point="map", action="kill the machine", executors=3)
    faults = named([*first, *seeded(1, point="reduce", action="kill the machine", executors=2)])
    run = start_run(three_workers, inputs, faults, name="lost-workers").wait()
    assert [worker.poll() for worker in three_workers.workers.values()].count(None) == 1
    assert_lost(run, list(faults))


def test_day_is_complete_although_nodes_are_decommissioned(three_workers: SparkCluster, inputs: Inputs) -> None:
    faults = named(
        [
            Fault(point="map", action="decommission the executor", nth=2, executors=3, seconds=15.0),
            Fault(point="reduce", action="decommission the worker", nth=2, executors=3, seconds=2.0),
        ]
    )
    run = start_run(three_workers, inputs, faults, name="decommissioned", conf=DECOMMISSIONING).wait()
    decommissioned = set(re.findall(r"Decommission executors: (\d+)", run.driver.stderr))
    assert len(decommissioned) == 2
    # The first was killed while its task still ran; the task of the second ended in time.
    first, _ = faults
    assert set(run.struck(first)["executors"]) == decommissioned & run.removed_executors().keys()
    assert "ExecutorLostFailure" in run.reasons_after(first)
    for tenant in faults:
        assert run.struck(tenant)["hit"]
        run.assert_published(tenant)


def test_slow_task_and_its_copy_count_once(two_workers: SparkCluster, inputs: Inputs) -> None:
    faults = named([Fault(point=point, action="wait", nth=3, seconds=120.0) for point in ("map", "reduce")])
    run = start_run(two_workers, inputs, faults, name="speculation", conf=SPECULATION).wait()
    for tenant in faults:
        winners = [end for end in run.ends_after(tenant) if end["Task Info"]["Speculative"]]
        assert "Success" in {end["Task End Reason"]["Reason"] for end in winners}
        run.assert_published(tenant)
    assert "TaskKilled" in {end["Task End Reason"]["Reason"] for end in run.events("TaskEnd")}
    # The slow reduce task had written its file.
    assert run.orphans(tenant, "messages")


def test_day_is_complete_although_idle_executors_with_map_output_are_removed(
    two_workers: SparkCluster, inputs: Inputs
) -> None:
    faults = named([Fault(point="map", action="outlive the idle executors", nth=2, executors=0)])
    run = start_run(two_workers, inputs, faults, name="dynamic-allocation", conf=ALLOCATION).wait()
    (tenant,) = faults
    assert run.removed_executors()
    assert run.reasons_after(tenant) & {"Resubmitted", "FetchFailed"}
    run.assert_published(tenant)


def assert_lost(run: FaultRun, tenants: list[str]) -> None:
    for tenant in tenants:
        assert set(run.struck(tenant)["executors"]) <= run.removed_executors().keys()
        assert "ExecutorLostFailure" in run.reasons_after(tenant)
        run.assert_published(tenant)

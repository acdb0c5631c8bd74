"""Test that plain Parquet, which has no commit, holds every row once when processes die at any moment of a day."""

import pytest

from tests.support.cluster_runs import Fault, FaultRun, Inputs, named, seeded, start_run
from tests.support.spark_cluster import SparkCluster

pytestmark = pytest.mark.long

FAULTS = named(
    [
        *seeded(2, point="map", action="kill the executor"),
        *seeded(2, point="reduce", action="kill the executor"),
        *seeded(1, point="reduce", action="kill the other executors", partitions=2),
        *seeded(1, point="reduce", action="kill Python"),
        Fault(point="publish", action="kill all executors"),
    ]
)
LOST = {tenant: fault for tenant, fault in FAULTS.items() if fault.action != "kill Python"}


@pytest.fixture(scope="module")
def run(cluster: SparkCluster, inputs: Inputs) -> FaultRun:
    return start_run(cluster, inputs, FAULTS, name="parquet", table_format="parquet").wait()


@pytest.mark.parametrize("tenant", FAULTS)
def test_parquet_day_is_complete_although_processes_were_killed(run: FaultRun, tenant: str) -> None:
    killed = run.struck(tenant)
    assert killed["hit"]
    assert bool(killed["executors"]) == (tenant in LOST)
    assert set(killed["executors"]) <= run.removed_executors().keys()
    if FAULTS[tenant].point != "publish":
        assert run.reasons_after(tenant) & {"ExecutorLostFailure", "FetchFailed", "ExceptionFailure"}
    run.assert_published(tenant)

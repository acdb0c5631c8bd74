"""Test that a day is complete when a client of Spark Connect runs it and its cluster loses executors."""

import pytest

from tests.support.cluster_runs import Inputs, named, seeded, start_run
from tests.support.spark_cluster import SparkCluster

pytestmark = pytest.mark.long


def test_day_over_spark_connect_is_complete_although_executors_were_killed(
    cluster: SparkCluster, inputs: Inputs
) -> None:
    faults = named(
        [
            *seeded(1, point="map", action="kill the executor"),
            *seeded(1, point="reduce", action="kill the other executors", partitions=2),
        ]
    )
    run = start_run(cluster, inputs, faults, name="connect", connect=True).wait()
    for tenant in faults:
        assert set(run.struck(tenant)["executors"]) <= run.removed_executors().keys()
        assert run.reasons_after(tenant) & {"ExecutorLostFailure", "FetchFailed"}
        run.assert_published(tenant)

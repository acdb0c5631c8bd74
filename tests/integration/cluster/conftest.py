"""A cluster for the whole folder, and the days that its jobs process."""

import sys
from collections.abc import Iterator

import pytest

from tests.support.cluster_runs import Inputs
from tests.support.spark_cluster import SparkCluster, running_cluster

# Workers then decommission themselves on SIGPWR.
CONF = {"spark.decommission.enabled": "true"}


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory, s3_endpoint: str) -> Iterator[SparkCluster]:
    """Start a cluster; a test takes `cluster`, which has two living workers."""
    if sys.platform != "linux":
        pytest.skip("only Linux has an address for each host, SIGPWR and limits of a process's memory")
    with running_cluster(tmp_path_factory.mktemp("cluster"), endpoint=s3_endpoint, conf=CONF) as running:
        yield running


@pytest.fixture(scope="module")
def cluster(shared_cluster: SparkCluster) -> SparkCluster:
    """Return the cluster with two living workers."""
    shared_cluster.fill(2)
    return shared_cluster


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory, s3_endpoint: str) -> Inputs:
    """Create a bucket for the days of all tenants."""
    return Inputs.create(tmp_path_factory.mktemp("inputs"), s3_endpoint)

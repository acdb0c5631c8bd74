"""Test that a killed driver's day is complete after the next run, and that two drivers publish a day once."""

import signal
import time

import pytest

from tests.support.cluster_runs import Fault, Inputs, named, seeded, start_run
from tests.support.spark_cluster import SparkCluster

pytestmark = pytest.mark.long

FAULTS = {
    "delta": named(
        [
            *seeded(1, point="map", action="kill the driver"),
            *seeded(1, point="reduce", action="kill the driver"),
            Fault(point="commit", action="kill the driver", nth=0),
            Fault(point="commit", action="kill the driver", nth=3),
        ]
    ),
    "parquet": named(
        [
            *seeded(1, point="reduce", action="kill the driver"),
            Fault(point="commit", action="kill the driver", nth=3),
        ]
    ),
}


@pytest.mark.parametrize("table_format", FAULTS)
def test_next_run_repairs_the_day_of_a_killed_driver(cluster: SparkCluster, inputs: Inputs, table_format: str) -> None:
    faults = FAULTS[table_format]
    name = f"killed-drivers-{table_format}"
    tenants = list(faults)
    # Each run first repairs the day in which the run before it was killed.
    for number, killed_at in enumerate(tenants):
        run = start_run(
            cluster,
            inputs,
            {killed_at: faults[killed_at]},
            name=f"{name}-{number}",
            output=name,
            tenants=tenants[max(number - 1, 0) : number + 1],
            table_format=table_format,
        )
        assert run.driver.wait() == -signal.SIGKILL, run.driver.stderr[-3000:]
        assert run.driver.process.pid in map(int, run.struck(killed_at)["hit"])
    last = start_run(
        cluster, inputs, {}, name=f"{name}-last", output=name, tenants=tenants[-1:], table_format=table_format
    )
    last.wait()
    for tenant in tenants:
        last.assert_published(tenant, killed_drivers=1)


def test_one_of_two_drivers_with_ledgers_of_their_own_publishes(cluster: SparkCluster, inputs: Inputs) -> None:
    drivers = [
        start_run(
            cluster,
            inputs,
            {"raced": Fault(point="publish", action="meet", executors=1)},
            name=f"two-ledgers/{name}",
            output="two-ledgers",
            conf={"spark.cores.max": "1"},
            environment={"MAKOTO_LEDGER": str(cluster.folder / f"drivers/{name}.sqlite")},
        )
        for name in ("one", "two")
    ]
    statuses = {run.driver.wait(): run for run in drivers}
    assert set(statuses) in ({0, 1}, {0, 4}), [run.driver.stderr[-3000:] for run in drivers]
    for run in drivers:
        run.struck("raced")
    statuses[0].assert_published("raced")


def test_driver_ends_without_work_while_another_holds_the_day(cluster: SparkCluster, inputs: Inputs) -> None:
    options = {"output": "one-ledger", "table_format": "parquet", "conf": {"spark.cores.max": "1"}}
    fault = Fault(point="publish", action="meet", executors=1)
    first = start_run(cluster, inputs, {"held": fault}, name="one-ledger/first", **options)
    met = cluster.folder / "faults/one-ledger/first.met"
    deadline = time.monotonic() + 120
    while not met.exists():
        assert first.driver.process.poll() is None, first.driver.stderr[-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    second = start_run(cluster, inputs, {"held": fault}, name="one-ledger/second", **options)
    assert second.driver.wait() == 4, second.driver.stderr[-3000:]
    met.with_name("second.met").touch()
    first.wait().assert_published("held")

"""Run days with faults on a cluster, one tenant for each fault, and assert that nothing was lost or left."""

import json
import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

from daily_batch.domain.contract import TABLES
from daily_batch.domain.receipt import Receipt, to_json
from daily_batch.synthetic import FaultRates, generate
from tests.support.assert_days_equal import assert_equal_tables
from tests.support.day_runs import DAY, NO_LIMITS, Tables, read_tables, read_truth, run_arguments, run_local
from tests.support.s3_bucket import Bucket
from tests.support.spark_cluster import Driver, SparkCluster

# A file is a map task, and a bucket a reduce task; one more reduce task has the rejects and counts.
FILES, BUCKETS = 4, 3
MESSAGES = 3_000
SUMS = ("objects", "records", "rejects", "flags")
OUTCOMES = ("written", "duplicates", "superseded", "rejected")
SETTINGS = {
    "MAKOTO_BUCKETS": str(BUCKETS),
    **{f"MAKOTO_{name.upper()}": str(value) for name, value in NO_LIMITS.items()},
}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault of `cluster_faults`: after `nth` rows of a task, or at the `nth` moment of publishing.

    Attributes:
        seconds: How long the process that was hit waits afterwards.
        executors: Executors that the run waits for before it starts.
    """

    point: str
    action: str
    partition: int = 0
    nth: int = 0
    seconds: float = 0.0
    executors: int = 2


def seeded(count: int, *, point: str, action: str, partitions: int = BUCKETS, **more: Any) -> list[Fault]:
    """Return faults at random moments of the first tasks: each yields three rows or more."""
    chosen = random.Random(f"{point} {action}")
    moments = [(partition, nth) for partition in range(partitions) for nth in range(4)]
    return [
        Fault(point=point, action=action, partition=partition, nth=nth, **more)
        for partition, nth in chosen.sample(moments, count)
    ]


def named(faults: Sequence[Fault]) -> dict[str, Fault]:
    """Return the faults by the tenant whose day they hit."""
    return {f"{fault.action}-{fault.point}-{at:02}".replace(" ", "-"): fault for at, fault in enumerate(faults)}


@dataclass
class Inputs:
    """Generated days of tenants in a bucket, and what the local runner makes of them."""

    folder: Path
    bucket: Bucket
    _local: dict[tuple[str, str], tuple[Receipt, Tables]] = field(default_factory=dict)

    @classmethod
    def create(cls, folder: Path, endpoint: str) -> "Inputs":
        bucket = Bucket(endpoint=endpoint, name=f"bucket-{uuid.uuid4().hex[:12]}")
        bucket.client().create_bucket(Bucket=bucket.name)
        return cls(folder, bucket)

    def add(self, tenant: str) -> None:
        """Generate the tenant's day, unless there is one."""
        if (self.folder / "in" / tenant).exists():
            return
        seed = random.Random(tenant).randrange(2**16)
        generate(
            messages=MESSAGES,
            layout="export",
            seed=seed,
            out=self.folder / "in",
            tenant=tenant,
            rates=FaultRates.rich(),
            files=FILES,
        )
        self.bucket.upload(self.folder / "in" / tenant, f"in/{tenant}/")

    def download(self, prefix: str) -> list[str]:
        """Copy what is below a prefix of the bucket into the folder; return the keys."""
        keys = sorted(self.bucket.keys(prefix))
        for key in keys:
            path = self.folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.bucket.read(key))
        return keys

    def run_local(self, tenant: str, table_format: str) -> tuple[dict[str, Any], Tables]:
        """Return the local runner's receipt and tables."""
        key = tenant, table_format
        if key not in self._local:
            output = self.folder / f"local-{table_format}"
            receipt = run_local(input=self.folder / "in", output=output, tenant=tenant, table_format=table_format)
            self._local[key] = receipt, read_tables(output, tenant=tenant, table_format=table_format)
        receipt, tables = self._local[key]
        return json.loads(to_json(receipt)), tables


@dataclass
class FaultRun:
    """A job on the days of several tenants, each with a fault."""

    inputs: Inputs
    driver: Driver
    faults: Path
    output: str
    table_format: str
    server: Driver | None = None

    def wait(self) -> "FaultRun":
        """Wait for the end, and assert that all days are published."""
        assert self.driver.wait() == 0, (self.driver.stdout + self.driver.stderr)[-6000:]
        if self.server:
            self.server.end()
        return self

    def struck(self, tenant: str) -> dict[str, Any]:
        """Return what the fault did; a fault that missed is a failure."""
        marker = self.faults / f"{tenant}.struck"
        assert marker.exists(), "the fault did not strike"
        done: dict[str, Any] = json.loads(marker.read_text())
        return done

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Return Spark's events of a kind."""
        return (self.server or self.driver).events(kind)

    def removed_executors(self) -> dict[str, str]:
        """Return the reason for which Spark removed each executor that it lost."""
        return {event["Executor ID"]: event["Removed Reason"] for event in self.events("ExecutorRemoved")}

    def ends_after(self, tenant: str) -> list[dict[str, Any]]:
        """Return the ends of tasks between the tenant's fault and the next."""
        struck = sorted(json.loads(path.read_text())["at"] * 1000 for path in self.faults.glob("*.struck"))
        begin = self.struck(tenant)["at"] * 1000
        end = min((at for at in struck if at > begin), default=float("inf"))
        return [event for event in self.events("TaskEnd") if begin <= event["Task Info"]["Finish Time"] < end]

    def reasons_after(self, tenant: str) -> set[str]:
        """Return how tasks ended after the tenant's fault, such as `Success` or `FetchFailed`."""
        return {event["Task End Reason"]["Reason"] for event in self.ends_after(tenant)}

    def assert_published(self, tenant: str, *, killed_drivers: int = 0) -> None:
        """Assert the local runner's tables, exact sums, no file that a reader might take for data, and no staged file.

        A driver that was killed leaves its manifest, which `vacuum` removes.
        """
        stored = self.inputs.download(f"{self.output}/{tenant}/")
        folder = self.inputs.folder / self.output
        tables = read_tables(folder, tenant=tenant, table_format=self.table_format)
        local, expected = self.inputs.run_local(tenant, self.table_format)
        assert_equal_tables(tables, expected)
        receipts = [json.loads((self.inputs.folder / key).read_text()) for key in stored if "/_receipts/" in key]
        receipt = max(receipts, key=lambda receipt: str(receipt["run_id"]))
        assert {name: receipt[name] for name in SUMS} == {name: local[name] for name in SUMS}
        truth = read_truth(self.inputs.folder / "in", tenant)
        assert {name: receipt["records"][name] for name in OUTCOMES} == {
            name: truth["records"][name] for name in OUTCOMES
        }
        assert (receipt["rejects"], receipt["flags"]) == (truth["rejects"], truth["flags"])
        rows = {name: counts["rows"] for name, counts in receipt["tables"].items()}
        assert rows == {name: len(table) for name, table in tables.items()}
        for table in TABLES:
            visible = _visible_files(folder / tenant / "analytics" / table.name, self.table_format)
            assert len(visible) == receipt["tables"][table.name]["files"], table.name
            assert all(receipt["run_id"] in name for name in visible), table.name
        staged = {key for key in stored if "/_staging/" in key}
        manifests = {key.split("/")[-2] for key in staged if key.endswith(".json")}
        assert len(manifests) <= killed_drivers
        assert all(key.split("/")[-2] in manifests and receipt["run_id"] not in key for key in staged), staged

    def orphans(self, tenant: str, table: str) -> set[str]:
        """Return the table's data files that no commit names."""
        stored = self.inputs.bucket.keys(f"{self.output}/{tenant}/analytics/{table}/date=")
        folder = self.inputs.folder / self.output / tenant / "analytics" / table
        return {key.rpartition("/")[2] for key in stored} - set(_visible_files(folder, self.table_format))


def _visible_files(folder: Path, table_format: str) -> list[str]:
    if table_format == "delta":
        return [Path(uri).name for uri in DeltaTable(str(folder)).file_uris()]
    return [path.name for path in folder.rglob("*.parquet")]


def start_run(
    cluster: SparkCluster,
    inputs: Inputs,
    faults: Mapping[str, Fault],
    *,
    name: str,
    output: str = "",
    tenants: Sequence[str] = (),
    table_format: str = "delta",
    conf: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    connect: bool = False,
) -> FaultRun:
    """Submit a job on the days of tenants, by default of all that have a fault.

    Args:
        name: The run's name, which no other run on the cluster has.
        output: The prefix in the bucket; by default the run's name.
        connect: Run as a client of Spark Connect.
    """
    chosen = list(tenants or faults)
    for tenant in chosen:
        inputs.add(tenant)
    plan = cluster.folder / "faults" / name
    plan.mkdir(parents=True)
    (plan / "plan.json").write_text(json.dumps({tenant: asdict(fault) for tenant, fault in faults.items()}))
    url, target = inputs.bucket.url, output or name
    flags = run_arguments(
        input=f"{url}/in", output=f"{url}/{target}", tenant=",".join(chosen), day=DAY, table_format=table_format
    )
    ledger = {"MAKOTO_LEDGER": str(cluster.folder / f"drivers/{target}.sqlite")}
    own = {**SETTINGS, **ledger, "CLUSTER_FAULTS": str(plan), **(environment or {})}
    settings = {"spark.executorEnv.CLUSTER_FAULTS": str(plan), **(conf or {})}
    if not connect:
        driver = cluster.submit("daily_messages.py", *flags, name=name, conf=settings, environment=own)
        return FaultRun(inputs, driver, plan, target, table_format)
    server, address = cluster.serve_connect(name=f"{name}-server", conf=settings)
    client = cluster.run_python("daily_messages.py", *flags, name=name, environment={**own, "SPARK_REMOTE": address})
    return FaultRun(inputs, client, plan, target, table_format, server)

"""A Spark standalone cluster: a master and workers as processes of their own, which share no folder with a driver.

Each worker has an address, temporary folders and a log of its own. Where the system permits it, the workers are in a
mount namespace in which the drivers' folder is empty, as on another machine.
"""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from daily_batch.storage.scratch import PREFIX
from makoto_packaging.environment import pack_thin
from makoto_packaging.packing import pack_folder
from tests.local_cloud.aws.emr.spark_site import link_spark, site_conf, unpack
from tests.local_cloud.common.downloads import find_java
from tests.local_cloud.common.processes import kill_child, start_child
from tests.support.day_runs import child_environment
from tests.support.s3_bucket import KEY, REGION
from tests.support.spark_session import ROOT

DEPLOY = "org.apache.spark.deploy"
CONNECT = "org.apache.spark.sql.connect.service.SparkConnectServer"
LOOPBACK = "127.0.0.1"
# On Linux all of 127.0.0.0/8 is loopback, so each worker is another host for Spark.
HOSTS = [f"127.0.0.{2 + number}" for number in range(32)]
START_SECONDS, RUN_SECONDS = 60.0, 900.0
QUICK_JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
_HIDE = 'mount -t tmpfs none "$0" && exec "$@"'
# Every Python of the package imports the faults, and only where a test asks for them.
_START = "import os; os.environ.get('CLUSTER_FAULTS') and __import__('cluster_faults')\n"
CONF = {
    "spark.executor.cores": "1",
    "spark.executor.memory": "512m",
    "spark.driver.memory": "512m",
    "spark.driver.extraJavaOptions": QUICK_JVM,
    "spark.executor.extraJavaOptions": QUICK_JVM,
    # The package's Python on both sides, as emr_request.py sets it.
    "spark.pyspark.python": "./environment/bin/python",
    "spark.ui.showConsoleProgress": "false",
    # What happened, for the tests: one JSON object a line.
    "spark.eventLog.enabled": "true",
    "spark.eventLog.compress": "false",
    "spark.eventLog.rolling.enabled": "false",
}


@dataclass
class Driver:
    """A job that was submitted, with its folder."""

    process: "subprocess.Popen[bytes]"
    folder: Path

    def wait(self) -> int:
        return self.process.wait(RUN_SECONDS)

    def end(self) -> None:
        """End a server, which then completes its log of events."""
        self.process.terminate()
        self.wait()

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Return the events of a kind that Spark logged."""
        (log,) = (self.folder / "events").iterdir()
        # A killed driver may leave half a line.
        lines = (line for line in log.read_text().splitlines() if line.endswith("}"))
        events = (json.loads(line) for line in lines)
        return [event for event in events if event["Event"] == f"SparkListener{kind}"]


@dataclass
class SparkCluster:
    """A running cluster; `workers` are the living ones by number."""

    folder: Path
    endpoint: str
    master: str = ""
    workers: dict[int, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    conf: Mapping[str, str] = field(default_factory=dict)
    _others: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    _started: int = 0

    def start(self, *, workers: int = 2) -> None:
        self._home = link_spark(self.folder / "spark")
        (self.folder / "drivers").mkdir()
        self._archive = make_package(self.folder / "package")
        unpack(self._archive, self.folder / "drivers/environment")
        self.workers_conf = self.folder / "workers.conf"
        self.workers_conf.write_text("".join(f"{name} {value}\n" for name, value in self.conf.items()))
        process = self._start("master", "master.Master", "--host", LOOPBACK, "--port", "0", host=LOOPBACK)
        self._others.append(process)
        self.master = self._await(process, "master", r"Starting Spark master at (spark://\S+)")
        self.fill(workers)

    def fill(self, number: int) -> None:
        """Start workers until as many as this are alive."""
        self.workers = {each: process for each, process in self.workers.items() if process.poll() is None}
        new: dict[int, subprocess.Popen[bytes]] = {}
        while len(self.workers) + len(new) < number:
            self._started += 1
            host = HOSTS[self._started % len(HOSTS)]
            limits = ("--host", host, "--port", "0", "--cores", "1", "--memory", "1g", self.master)
            new[self._started] = self._start(f"worker-{self._started}", "worker.Worker", *limits, host=host)
        for each, process in new.items():
            self._await(process, f"worker-{each}", "(Successfully registered) with master")
        self.workers |= new

    def await_no_task_folders(self) -> None:
        """Wait until no living worker holds a task's folder, which may have messages.

        Spark removes those of a job after its end. Those of a dead worker stay until the next task on its machine.
        """
        deadline = time.monotonic() + START_SECONDS
        alive = [self.folder / f"worker-{number}" for number in self.workers]
        while folders := [path for path in alive if any(path.glob(f"**/{PREFIX}*"))]:
            assert time.monotonic() < deadline, f"a task's folder is left: {folders}"
            time.sleep(0.1)

    def kill(self, number: int) -> None:
        """Kill a worker and its executors."""
        kill_child(self.workers.pop(number))

    def stop(self) -> None:
        for process in [*self.workers.values(), *self._others]:
            kill_child(process)

    def submit(
        self,
        *program: str,
        name: str,
        conf: Mapping[str, str],
        environment: Mapping[str, str] | None = None,
    ) -> Driver:
        """Start a job as a user does: spark-submit with a properties file, the package, and the program.

        Args:
            program: The entry point and its arguments, perhaps after further options.
        """
        folder = self._make_driver_folder(name)
        shutil.copy(self._archive, folder)
        settings = {**CONF, "spark.eventLog.dir": f"file://{folder}/events", **conf}
        lines = "".join(f"{name} {value}\n" for name, value in settings.items())
        properties = folder / "spark.conf"
        properties.write_text(site_conf(self._home, endpoint=self.endpoint, region=REGION) + lines)
        command = [
            *(str(self._home / "bin/spark-submit"), "--master", self.master, "--properties-file", str(properties)),
            *("--archives", f"{folder / self._archive.name}#environment", *program),
        ]
        return self._run(command, folder, environment)

    def serve_connect(self, *, name: str, conf: Mapping[str, str]) -> tuple[Driver, str]:
        """Start a server of Spark Connect; return it and its address."""
        port = {"spark.connect.grpc.binding.port": "0", "spark.connect.grpc.binding.address": LOOPBACK}
        # Here the server chooses the workers' Python, and they start it in a folder of the session.
        python = {"PYSPARK_PYTHON": f"../{CONF['spark.pyspark.python']}"}
        server = self.submit("--class", CONNECT, "spark-internal", name=name, conf={**conf, **port}, environment=python)
        found = self._await(server.process, f"drivers/{name}", r"Spark Connect server started at: \S*:(\d+)")
        return server, f"sc://{LOOPBACK}:{found}"

    def run_python(self, *program: str, name: str, environment: Mapping[str, str]) -> Driver:
        """Start a program with the package's Python."""
        folder = self._make_driver_folder(name)
        return self._run(["environment/bin/python", *program], folder, environment)

    def _make_driver_folder(self, name: str) -> Path:
        folder = self.folder / "drivers" / name
        for each in ("events", "tmp", "local"):
            (folder / each).mkdir(parents=True)
        (folder / "environment").symlink_to(self.folder / "drivers/environment")
        for script in ("daily_messages.py", "maintain_tables.py"):
            shutil.copy(ROOT / "jobs" / script, folder)
        return folder

    def _run(self, command: Sequence[str], folder: Path, environment: Mapping[str, str] | None) -> Driver:
        own = self._environment(LOOPBACK, temp=folder / "tmp", local=folder / "local")
        process = start_child(command, folder=folder, env={**own, **(environment or {})}, log=folder)
        self._others.append(process)
        return Driver(process, folder)

    def _start(self, name: str, program: str, *arguments: str, host: str) -> "subprocess.Popen[bytes]":
        folder = self.folder / name
        for each in ("tmp", "local", "work"):
            (folder / each).mkdir(parents=True)
        command = [str(self._home / "bin/spark-class"), f"{DEPLOY}.{program}", "--webui-port", "0"]
        command += ["--properties-file", str(self.workers_conf), *arguments]
        if name != "master" and can_hide():
            command = [*can_hide(), "/bin/sh", "-c", _HIDE, str(self.folder / "drivers"), *command]
        environment = self._environment(host, temp=folder / "tmp", local=folder / "local")
        environment |= {"SPARK_WORKER_DIR": str(folder / "work"), "SPARK_DAEMON_MEMORY": "256m"}
        environment |= {"SPARK_DAEMON_JAVA_OPTS": QUICK_JVM, "SPARK_NO_DAEMONIZE": "1"}
        return start_child(command, folder=folder, env=environment, log=folder)

    def _environment(self, host: str, *, temp: Path, local: Path) -> dict[str, str]:
        environment = child_environment(
            JAVA_HOME=str(Path(find_java()).parents[1]),
            SPARK_HOME=str(self._home),
            SPARK_LOCAL_IP=host,
            SPARK_LOCAL_DIRS=str(local),
            TMPDIR=str(temp),
            JAVA_TOOL_OPTIONS=f"-Djava.io.tmpdir={temp}",
            # On a cloud's machines the role and the service's address are given; here these variables are.
            AWS_ENDPOINT_URL=self.endpoint,
            AWS_REGION=REGION,
            AWS_ACCESS_KEY_ID=KEY,
            AWS_SECRET_ACCESS_KEY=KEY,
        )
        environment.pop("PYTHONPATH", None)  # the package is the only source of the product
        return environment

    def _await(self, process: "subprocess.Popen[bytes]", name: str, pattern: str) -> str:
        log, deadline = self.folder / name / "stderr", time.monotonic() + START_SECONDS
        while not (found := re.search(pattern, log.read_text())):
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, f"{name} did not start"
            time.sleep(0.05)
        return found[1]


@contextmanager
def running_cluster(folder: Path, *, endpoint: str, conf: Mapping[str, str] | None = None) -> Iterator[SparkCluster]:
    """Run a cluster with two workers; all its processes and drivers end with the block."""
    cluster = SparkCluster(folder, endpoint, conf=conf or {})
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def make_package(folder: Path) -> Path:
    """Return an archive as `makoto_packaging.emr` makes it: the product in it is this checkout's.

    The dependencies, which are 400 MB, are links to this environment's: each new executor unpacks the archive.
    """
    packed = pack_thin(interpreter=Path(sys.executable), out=folder.with_suffix(".tar.gz"))
    unpack(packed, folder)
    (packages,) = folder.glob("lib/python3.*/site-packages")
    shutil.copytree(ROOT / "jobs/daily_batch", packages / "daily_batch", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(Path(__file__).with_name("cluster_faults.py"), packages)
    (packages / "cluster_faults.pth").write_text(_START)
    return pack_folder(folder, folder.with_name("environment.tar.gz"))


@cache
def can_hide() -> Sequence[str]:
    """Return the command that gives a program mounts of its own; empty where the system does not permit it."""
    for command in (["unshare", "--mount"], ["unshare", "--map-root-user", "--mount"]):
        probe = [*command, "/bin/sh", "-c", "mount -t tmpfs none /mnt"]
        if shutil.which("unshare") and subprocess.run(probe, capture_output=True).returncode == 0:
            return command
    return []

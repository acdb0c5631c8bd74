"""Runs a task with this environment's spark-submit and conf/spark/local.conf, as a cluster of Databricks would.

The wheel is this environment's own: nothing is built or installed.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.local_cloud.azure.databricks.job_runs import Ending, JobRun
from tests.local_cloud.common.downloads import ROOT, find_java
from tests.local_cloud.common.processes import end_bound, start_bound

DRIVER = Path(__file__).with_name("driver.py")
CONF = ROOT / "conf/spark/local.conf"
FAILED = "Task {} failed with message: Workload failed, see run output for details."
# Of the end: the API tells the last 5 MB.
LOG_CHARACTERS = 5 * 2**20
_REFERENCE = re.compile(r"\{\{\s*job\.parameters\.([\w.-]+)\s*\}\}")


@dataclass(frozen=True, kw_only=True)
class SparkSubmitProgram:
    """Runs tasks in folders of their own below `folder`, with `environment` beside what every program needs."""

    folder: Path
    environment: Mapping[str, str]
    _processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, run: JobRun) -> None:
        """See `Program.start`."""
        work = self.place(run)
        (work / "tmp").mkdir(parents=True)
        driver = str(shutil.copy(DRIVER, work))
        command = [
            *(str(Path(sys.executable).with_name("spark-submit")), "--properties-file", str(CONF)),
            *("--conf", f"spark.pyspark.python={sys.executable}", driver, str(work / "error")),
            *read_command(run),
        ]
        # The settings name files of the checkout.
        environment = self._environment(work)
        self._processes[run.id] = start_bound(command, folder=ROOT, env=environment, log=work)

    def poll(self, run: JobRun) -> Ending | None:
        """See `Program.poll`."""
        status = self._processes[run.id].poll()
        if status is None:
            return None
        if status == 0:
            return Ending(state="SUCCESS")
        error = self.place(run) / "error"
        told = error.read_text() if error.exists() else "The Spark driver has stopped unexpectedly."
        logs = "".join((self.place(run) / name).read_text(errors="replace") for name in ("stdout", "stderr"))
        return Ending(
            state="FAILED", details=FAILED.format(run.task["task_key"]), error=told, logs=logs[-LOG_CHARACTERS:]
        )

    def end(self, run: JobRun) -> None:
        """See `Program.end`."""
        process = self._processes.pop(run.id, None)
        if process is not None:
            end_bound(process)
            for name in ("tmp", "local"):
                shutil.rmtree(self.place(run) / name, ignore_errors=True)

    def place(self, run: JobRun) -> Path:
        """The folder of the run's attempt; it has `stdout`, `stderr` and the task's `error`."""
        return self.folder / str(run.id) / f"attempt-{run.attempt}"

    def _environment(self, work: Path) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(work),
            "TMPDIR": str(work / "tmp"),
            "LANG": "C.UTF-8",
            "JAVA_HOME": str(Path(find_java()).parents[1]),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_LOCAL_DIRS": str(work / "local"),
            **self.environment,
        }


def read_command(run: JobRun) -> list[str]:
    """The run's task as `driver.py` takes it."""
    if "python_wheel_task" in run.task:
        task = run.task["python_wheel_task"]
        return ["wheel", task["package_name"], task["entry_point"], *read_arguments(task, run.parameters)]
    task = run.task["spark_python_task"]
    return ["file", task["python_file"], *read_arguments(task, run.parameters)]


def read_arguments(task: Mapping[str, object], parameters: Mapping[str, str]) -> list[str]:
    """The arguments of a task's program.

    Named parameters become `--name=value`, and the job's own are pushed down among them; a list of parameters gets only
    what it refers to by `{{job.parameters.name}}`.
    """
    named = task.get("named_parameters")
    if isinstance(named, Mapping):
        pushed = {**{name: _resolve(str(value), parameters) for name, value in named.items()}, **parameters}
        return [f"--{name}={value}" for name, value in pushed.items()]
    given = task.get("parameters", ())
    return [_resolve(str(each), parameters) for each in given] if isinstance(given, list) else []


def _resolve(text: str, parameters: Mapping[str, str]) -> str:
    """An unknown reference stays as it is."""
    return _REFERENCE.sub(lambda match: parameters.get(match[1], match[0]), text)

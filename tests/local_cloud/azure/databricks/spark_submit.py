"""Run a task with this environment's spark-submit and conf/spark/local.conf, as a Databricks cluster would.

It uses this environment's own package: no wheel is built or installed.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.local_cloud.azure.databricks.job_runs import JobRun, RunOutcome
from tests.local_cloud.common.downloads import ROOT, find_java
from tests.local_cloud.common.processes import kill_child, start_child

DRIVER = Path(__file__).with_name("driver.py")
CONF = ROOT / "conf/spark/local.conf"
FAILED = "Task {} failed with message: Workload failed, see run output for details."
# The API returns the last 5 MB.
LOG_CHARACTERS = 5 * 2**20
_REFERENCE = re.compile(r"\{\{\s*job\.parameters\.([\w.-]+)\s*\}\}")


@dataclass(frozen=True, kw_only=True)
class SparkSubmitProgram:
    """Run each task in its own folder below `folder`, with `environment` added to its variables."""

    folder: Path
    environment: Mapping[str, str]
    _processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, run: JobRun) -> None:
        """See `Program.start`."""
        work = self.work_folder(run)
        (work / "tmp").mkdir(parents=True)
        driver = str(shutil.copy(DRIVER, work))
        command = [
            *(str(Path(sys.executable).with_name("spark-submit")), "--properties-file", str(CONF)),
            *("--conf", f"spark.pyspark.python={sys.executable}", driver, str(work / "error")),
            *read_command(run),
        ]
        # The settings contain paths of the checkout.
        environment = self._environment(work)
        self._processes[run.id] = start_child(command, folder=ROOT, env=environment, log=work)

    def poll(self, run: JobRun) -> RunOutcome | None:
        """See `Program.poll`."""
        status = self._processes[run.id].poll()
        if status is None:
            return None
        if status == 0:
            return RunOutcome(state="SUCCESS")
        error = self.work_folder(run) / "error"
        message = error.read_text() if error.exists() else "The Spark driver has stopped unexpectedly."
        logs = "".join((self.work_folder(run) / name).read_text(errors="replace") for name in ("stdout", "stderr"))
        return RunOutcome(
            state="FAILED", details=FAILED.format(run.task["task_key"]), error=message, logs=logs[-LOG_CHARACTERS:]
        )

    def kill(self, run: JobRun) -> None:
        """See `Program.kill`."""
        process = self._processes.pop(run.id, None)
        if process is not None:
            kill_child(process)
            for name in ("tmp", "local"):
                shutil.rmtree(self.work_folder(run) / name, ignore_errors=True)

    def work_folder(self, run: JobRun) -> Path:
        """Return the folder of the run's attempt, with `stdout`, `stderr` and the task's `error`."""
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
    """Return the run's task as arguments of `driver.py`."""
    if "python_wheel_task" in run.task:
        task = run.task["python_wheel_task"]
        return ["wheel", task["package_name"], task["entry_point"], *read_arguments(task, run.parameters)]
    task = run.task["spark_python_task"]
    return ["file", task["python_file"], *read_arguments(task, run.parameters)]


def read_arguments(task: Mapping[str, object], parameters: Mapping[str, str]) -> list[str]:
    """Return the arguments of a task's program.

    Named parameters become `--name=value`, and job parameters are pushed down to them. A list of parameters only gets
    the job parameters that it refers to by `{{job.parameters.name}}`.
    """
    named = task.get("named_parameters")
    if isinstance(named, Mapping):
        pushed = {**{name: _resolve(str(value), parameters) for name, value in named.items()}, **parameters}
        return [f"--{name}={value}" for name, value in pushed.items()]
    values = task.get("parameters", ())
    return [_resolve(str(each), parameters) for each in values] if isinstance(values, list) else []


def _resolve(text: str, parameters: Mapping[str, str]) -> str:
    """Resolve references; unknown ones stay as they are."""
    return _REFERENCE.sub(lambda match: parameters.get(match[1], match[0]), text)

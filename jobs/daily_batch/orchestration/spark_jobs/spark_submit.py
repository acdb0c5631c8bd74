"""Run Spark jobs with this machine's spark-submit, each in a process that outlives its submitter.

A folder per job token makes submitting idempotent: the submitter that creates the folder starts the job, and later
ones find the same job.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from daily_batch.errors import RetryableError, UsageError
from daily_batch.orchestration.spark_jobs.base import (
    FINAL_EXIT_CODES,
    MAX_LOG_CHARACTERS,
    JobState,
    JobStatus,
    SparkJob,
)

START_SECONDS = 60
# Writes its process id before it starts the job, and the job's exit status afterwards.
_SCRIPT = 'echo $$ > "$0/pid"; "$@" > "$0/log" 2>&1; echo $? > "$0/status.new"; mv "$0/status.new" "$0/status"'


@dataclass(frozen=True, kw_only=True)
class SparkSubmit:
    """Runs `script`, which is jobs/daily_messages.py. `options` are spark-submit's; `folder` holds one folder a job."""

    folder: Path
    script: Path
    options: Sequence[str] = ()
    name: str = "spark-submit"

    def check_code(self) -> None:
        """See `Submitter.check_code`."""
        self._program()

    def submit(self, job: SparkJob) -> str:
        """See `Submitter.submit`. The id is the name of the job's folder."""
        job_folder = self.folder / job.job_token
        try:
            job_folder.mkdir(parents=True)
        except FileExistsError:
            return job.job_token
        command = [self._program(), *self.options, str(self.script), *job.arguments()]
        try:
            # A session of its own, so that neither the submitter's end nor Ctrl-C at its terminal ends the job.
            subprocess.Popen(  # noqa: S603 - arguments are a list, each validated at its source
                ["/bin/sh", "-c", _SCRIPT, str(job_folder), *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            shutil.rmtree(job_folder)
            raise RetryableError(f"spark-submit cannot be started ({error.strerror})", next_step="try again") from error
        return job.job_token

    def get_status(self, job_id: str) -> JobStatus:
        """See `Submitter.get_status`."""
        job_folder = self.folder / job_id
        if (job_folder / "status").exists():
            status = int((job_folder / "status").read_text())
            ended = datetime.fromtimestamp((job_folder / "status").stat().st_mtime, UTC)
            state: JobState = "FAILED" if status else "SUCCEEDED"
            return JobStatus(state=state, retryable=status not in FINAL_EXIT_CODES, ended_at=ended)
        if not job_folder.is_dir():
            return JobStatus(state="LOST")
        process = self.process_group(job_id)
        if process is None:
            # The submitter may have been killed after it created the folder and before it started the process.
            return JobStatus(state="WAITING" if time.time() - job_folder.stat().st_mtime < START_SECONDS else "LOST")
        return JobStatus(state="RUNNING" if _is_alive(process) else "LOST")

    def read_log(self, job_id: str) -> str:
        """See `Submitter.read_log`."""
        log = self.folder / job_id / "log"
        return log.read_text(errors="replace")[-MAX_LOG_CHARACTERS:] if log.exists() else ""

    def cancel(self, job_id: str) -> None:
        """See `Submitter.cancel`."""
        process = self.process_group(job_id)
        if process is not None and self.get_status(job_id).state == "RUNNING":
            with suppress(ProcessLookupError):
                os.killpg(process, signal.SIGTERM)

    def process_group(self, job_id: str) -> int | None:
        """Return the id of the job's process group; None if it has not started yet."""
        pid_file = self.folder / job_id / "pid"
        text = pid_file.read_text().strip() if pid_file.exists() else ""
        return int(text) if text else None

    def _program(self) -> str:
        beside_python = Path(sys.executable).with_name("spark-submit")
        program = str(beside_python) if beside_python.exists() else shutil.which("spark-submit")
        if program is None:
            raise UsageError("there is no spark-submit", next_step="install makoto-daily-batch[spark]")
        return program


def _is_alive(process: int) -> bool:
    """Return whether the process is running. A zombie, which has ended and waits for its parent, is not."""
    with suppress(ChildProcessError):  # another submitter's child
        os.waitpid(process, os.WNOHANG)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True

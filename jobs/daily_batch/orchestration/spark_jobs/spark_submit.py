"""Spark jobs by this machine's spark-submit, each a process of its own that outlives its submitter.

A folder for each job token is the service's memory: whoever makes the folder starts the job, and whoever finds it
there has the same job.
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
from daily_batch.orchestration.spark_jobs.base import FOR_GOOD, LOG_CHARACTERS, JobState, JobStatus, SparkJob

START_SECONDS = 60
# Notes the process's id before it becomes the job, so that the id stays its own, and its exit status behind it.
_SCRIPT = 'echo $$ > "$0/pid"; "$@" > "$0/log" 2>&1; echo $? > "$0/status.new"; mv "$0/status.new" "$0/status"'


@dataclass(frozen=True, kw_only=True)
class SparkSubmit:
    """Runs jobs/daily_messages.py. `options` are spark-submit's own, before the script; `folder` remembers the jobs."""

    folder: Path
    script: Path
    options: Sequence[str] = ()
    name: str = "spark-submit"

    def check_code(self) -> None:
        """See `Submitter.check_code`."""
        self._program()

    def submit(self, job: SparkJob) -> str:
        """See `Submitter.submit`; the id is the job's folder's name."""
        place = self.folder / job.job_token
        try:
            place.mkdir(parents=True)
        except FileExistsError:
            return job.job_token
        command = [self._program(), *self.options, str(self.script), *job.arguments()]
        try:
            # A session of its own: the submitter's end, or Ctrl-C at its terminal, is not the job's.
            subprocess.Popen(  # noqa: S603 - arguments are a list, each checked where it was made
                ["/bin/sh", "-c", _SCRIPT, str(place), *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            shutil.rmtree(place)
            raise RetryableError(f"spark-submit cannot be started ({error.strerror})", next_step="try again") from error
        return job.job_token

    def look(self, job_id: str) -> JobStatus:
        """See `Submitter.look`."""
        place = self.folder / job_id
        if (place / "status").exists():
            status = int((place / "status").read_text())
            ended = datetime.fromtimestamp((place / "status").stat().st_mtime, UTC)
            state: JobState = "FAILED" if status else "SUCCEEDED"
            return JobStatus(state=state, retryable=status not in FOR_GOOD, ended_at=ended)
        if not place.is_dir():
            return JobStatus(state="LOST")
        process = self.process(job_id)
        if process is None:
            # Its submitter may have died between the folder and the process.
            return JobStatus(state="WAITING" if time.time() - place.stat().st_mtime < START_SECONDS else "LOST")
        return JobStatus(state="RUNNING" if _is_alive(process) else "LOST")

    def read_log(self, job_id: str) -> str:
        """See `Submitter.read_log`."""
        log = self.folder / job_id / "log"
        return log.read_text(errors="replace")[-LOG_CHARACTERS:] if log.exists() else ""

    def cancel(self, job_id: str) -> None:
        """See `Submitter.cancel`."""
        process = self.process(job_id)
        if process is not None and self.look(job_id).state == "RUNNING":
            with suppress(ProcessLookupError):
                os.killpg(process, signal.SIGTERM)

    def process(self, job_id: str) -> int | None:
        """The id of the job's process group; None while it has none yet."""
        noted = self.folder / job_id / "pid"
        text = noted.read_text().strip() if noted.exists() else ""
        return int(text) if text else None

    def _program(self) -> str:
        beside = Path(sys.executable).with_name("spark-submit")
        found = str(beside) if beside.exists() else shutil.which("spark-submit")
        if found is None:
            raise UsageError("there is no spark-submit", next_step="install makoto-daily-batch[spark]")
        return found


def _is_alive(process: int) -> bool:
    """Whether the process runs; one that has ended and waits for its parent does not."""
    with suppress(ChildProcessError):  # another submitter's child
        os.waitpid(process, os.WNOHANG)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True

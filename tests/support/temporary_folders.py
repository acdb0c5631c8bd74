"""Processes with temporary folders, which run until a test ends or kills them."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.day_runs import child_environment

PROGRAM = """
import sys
from daily_batch.storage.scratch import temporary_folder

with temporary_folder() as folder:
    (folder / "messages").write_text("of a person")
    (folder / "deep").mkdir()
    print(folder, flush=True)
    sys.stdin.readline()
"""


class OtherRun:
    """Another process with a temporary folder of its own."""

    def __init__(self, process: "subprocess.Popen[str]", files: Path) -> None:
        self._process = process
        self.files = files
        self.folder = files.parent

    def kill(self) -> None:
        """Kill the process, which leaves its folder behind."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """End the process normally, which deletes its folder."""
        self._process.communicate("\n")
        assert self._process.returncode == 0


@contextmanager
def other_run(temp: Path) -> Iterator[OtherRun]:
    """Start a process that has its temporary files in `temp`; kill it at the end."""
    temp.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=child_environment(TMPDIR=str(temp)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    run = OtherRun(process, Path(process.stdout.readline().strip()))
    assert (run.files / "messages").exists()
    try:
        yield run
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def leave_behind(temp: Path) -> Path:
    """Return the temporary folder of a killed run."""
    with other_run(temp) as run:
        run.kill()
    assert (run.files / "messages").exists()
    return run.folder

"""Start processes that end with their parent, even if the parent is killed."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

# When the parent ends, the shell's standard input closes, and a watcher beside the program kills the session.
_UNTIL_END = 'exec 3<&0; (cat <&3 >/dev/null; kill -9 0) & exec "$@" </dev/null 3<&-'


def start_child(command: Sequence[str], *, folder: Path, env: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a program in its own session.

    Args:
        command: the program and its arguments.
        folder: the working directory.
        env: the complete environment.
        log: the folder for its `stdout` and `stderr`.
    """
    with (log / "stdout").open("wb") as out, (log / "stderr").open("wb") as error:
        return subprocess.Popen(
            ["/bin/sh", "-c", _UNTIL_END, "sh", *command],
            cwd=folder,
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=error,
            start_new_session=True,
        )


def kill_child(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all its children."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()

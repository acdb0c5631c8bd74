"""Processes that do not outlive whoever started them, however that ends."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

# When the starter ends, so does the program's input, and a shell beside it ends them all.
_UNTIL_END = 'exec 3<&0; (cat <&3 >/dev/null; kill -9 0) & exec "$@" </dev/null 3<&-'


def start_bound(command: Sequence[str], *, folder: Path, env: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own.

    Args:
        command: the program and its arguments.
        folder: where it works.
        env: its environment, and nothing else.
        log: a folder that gets its `stdout` and `stderr`.
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


def end_bound(process: subprocess.Popen[bytes]) -> None:
    """End it and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()

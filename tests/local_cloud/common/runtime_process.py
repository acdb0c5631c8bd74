"""Run a function's runtime in a process that reads calls as lines and writes each response to a pipe."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.local_cloud.common.downloads import ROOT


class RuntimeProcess:
    """A process `python -m module *arguments PIPE` with exactly the given environment; its output goes to `log`."""

    def __init__(self, module: str, *arguments: str, env: Mapping[str, str], log: Path) -> None:
        responses, into = os.pipe()
        self._responses = os.fdopen(responses, "rb")
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments, str(into)],
                cwd=ROOT,
                env=dict(env),
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                pass_fds=[into],
                start_new_session=True,
            )
        os.close(into)

    @property
    def is_alive(self) -> bool:
        """Whether the process still accepts calls."""
        return self._process.poll() is None

    def call(self, request: Any, timeout: float) -> bytes | None:
        """Send a call and return the response: empty if the process ended without one, None after `timeout` seconds."""
        assert self._process.stdin is not None, "stdin is a pipe"  # noqa: S101
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        ready, _, _ = select.select([self._responses], [], [], timeout)
        return self._responses.readline() if ready else None

    def stop(self) -> None:
        """Kill the process and its children."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        self._responses.close()

"""A function's runtime as its host sees it: a process that is given lines, and answers each on a pipe of its own."""

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
    """`python -m module *arguments PIPE`, with an environment and nothing else; what it prints goes to `log`."""

    def __init__(self, module: str, *arguments: str, env: Mapping[str, str], log: Path) -> None:
        answers, into = os.pipe()
        self._answers = os.fdopen(answers, "rb")
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
        """Whether it takes another line."""
        return self._process.poll() is None

    def ask(self, question: Any, timeout: float) -> bytes | None:
        """The answer; empty when the process has ended without one, None when the time is over."""
        assert self._process.stdin is not None, "a pipe was asked for"  # noqa: S101
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()
        ready, _, _ = select.select([self._answers], [], [], timeout)
        return self._answers.readline() if ready else None

    def stop(self) -> None:
        """End the process, and those that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        self._answers.close()

"""Run a day, and kill or stop the process at a chosen call.

Arguments: SIGKILL or SIGSTOP, MODULE:FUNCTION, `before` or `after`, the number of the call, and the flags of the run.

The process signals itself, so nothing is unwound or flushed. Only writes of the SQLite ledger are never interrupted,
because a process that is stopped within one locks out all others.
"""

import os
import signal
import sys
from importlib import import_module
from itertools import count
from threading import Lock
from typing import Any

from daily_batch.__main__ import main as command
from daily_batch.metadata.sqlite import SqliteStore


def main() -> None:
    signal_name, target, moment, nth, *arguments = sys.argv[1:]
    interruption = signal.Signals[signal_name]
    module_name, name = target.split(":")
    module = import_module(module_name)
    original = getattr(module, name)
    calls = count(1)
    writing = Lock()
    put = SqliteStore.put

    def put_uninterrupted(self: SqliteStore, *args: Any, **kwargs: Any) -> str:
        with writing:
            return put(self, *args, **kwargs)

    def interrupt() -> None:
        with writing:
            os.kill(os.getpid(), interruption)

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        chosen = next(calls) == int(nth)
        if chosen and moment == "before":
            interrupt()
        result = original(*args, **kwargs)
        if chosen and moment == "after":
            interrupt()
        return result

    setattr(module, name, interrupted)
    SqliteStore.put = put_uninterrupted  # type: ignore[method-assign]
    sys.argv = ["makoto-batch", "run", *arguments]
    command()


if __name__ == "__main__":
    main()

"""Run a day and kill or stop the process at a chosen call.

Arguments: SIGKILL or SIGSTOP, MODULE:FUNCTION, `before` or `after`, the number of the call, and the flags of the run.

Nothing is unwound or flushed: the process signals itself as an outside `kill` would. Only writes of the SQLite ledger
are never interrupted, because a process that is stopped within one locks out all others.
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
    signal_name, place, moment, nth, *arguments = sys.argv[1:]
    interruption = signal.Signals[signal_name]
    module_name, name = place.split(":")
    module = import_module(module_name)
    original = getattr(module, name)
    calls = count(1)
    writing = Lock()
    put = SqliteStore.put

    def put_alone(self: SqliteStore, *args: Any, **kwargs: Any) -> str:
        with writing:
            return put(self, *args, **kwargs)

    def interrupt() -> None:
        with writing:
            os.kill(os.getpid(), interruption)

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        last = next(calls) == int(nth)
        if last and moment == "before":
            interrupt()
        answer = original(*args, **kwargs)
        if last and moment == "after":
            interrupt()
        return answer

    setattr(module, name, interrupted)
    SqliteStore.put = put_alone  # type: ignore[method-assign]
    sys.argv = ["makoto-batch", "run", *arguments]
    command()


if __name__ == "__main__":
    main()

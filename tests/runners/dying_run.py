"""A run that is killed at a chosen call: MODULE:FUNCTION, before or after, which call, and the flags of a run.

Nothing is unwound and nothing is flushed: the process kills itself as `kill -9` would.
"""

import os
import signal
import sys
from importlib import import_module
from itertools import count
from typing import Any

from daily_batch import cli


def main() -> None:
    place, moment, nth, *arguments = sys.argv[1:]
    module_name, name = place.split(":")
    module = import_module(module_name)
    original = getattr(module, name)
    calls = count(1)

    def dying(*args: Any, **kwargs: Any) -> Any:
        last = next(calls) == int(nth)
        if last and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = original(*args, **kwargs)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(module, name, dying)
    sys.argv = ["makoto-batch", "run", *arguments]
    cli.main()


if __name__ == "__main__":
    main()

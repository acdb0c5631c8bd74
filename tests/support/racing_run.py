"""Run a day that waits before its first commit until the other runs have reached the same point.

Arguments: a shared folder, the run's name, the number of runs; then the flags of `makoto-batch run`.
"""

import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from daily_batch.__main__ import main as command
from daily_batch.pipeline.publish.publisher import DayPublisher


def main() -> None:
    folder, name, runs, *arguments = sys.argv[1:]
    publish = DayPublisher.publish

    def wait_and_publish(*args: Any, **kwargs: Any) -> Any:
        (Path(folder) / name).touch()
        deadline = time.monotonic() + 60
        while len(list(Path(folder).iterdir())) < int(runs):
            if time.monotonic() > deadline:
                raise TimeoutError("the other runs did not reach their first commit")
            time.sleep(0.001)
        return publish(*args, **kwargs)

    sys.argv = ["makoto-batch", "run", *arguments]
    with patch.object(DayPublisher, "publish", wait_and_publish):
        command()


if __name__ == "__main__":
    main()

"""Kill a worker's process once for each tenant that has a file in the folder CRASHES."""

import os
from pathlib import Path

from tests.support.crash_points import crash_at

STEP = "after the lease"


def crash_if_planned(body: str) -> None:
    """Install the crash if the message is for a tenant with a planned crash, and remove its file."""
    for file in Path(os.environ["CRASHES"]).iterdir():
        if f'"{file.name}"' in body:
            file.unlink()
            crash_at(STEP)

"""Kill a worker's process once for each tenant that a file in the folder CRASHES names."""

import os
from pathlib import Path

from tests.support.crash_points import crash_at

STEP = "after the lease"


def crash_if_planned(body: str) -> None:
    """Install the crash if the message is of a tenant whose worker is to crash."""
    for name in Path(os.environ["CRASHES"]).iterdir():
        if f'"{name.name}"' in body:
            name.unlink()
            crash_at(STEP)

"""A worker's process that is killed once for each tenant whom a file names: what DEATHS holds, a folder."""

import os
from pathlib import Path

from tests.support.crash_points import die_at

STEP = "after the lease"


def meet_death(body: str) -> None:
    """Prepare to die, if the message is about a tenant whose worker shall."""
    for name in Path(os.environ["DEATHS"]).iterdir():
        if f'"{name.name}"' in body:
            name.unlink()
            die_at(STEP)

"""Temporary folders of a run: gone when it is over, whatever became of it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder of this process, on whatever disk the system gives temporary files."""
    with tempfile.TemporaryDirectory(prefix="makoto-") as folder:
        yield Path(folder)


def make_folder(folder: Path) -> Path:
    """The folder, made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder

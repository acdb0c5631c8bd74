"""Temporary folders, each provably of a process that is alive: it holds a lock on a file in the folder.

A folder is gone when its run is over. The system takes a lock back however its process ended, so what a killed run
left is known for certain, and the next run of any kind removes it. A folder without the file is no run's, and stays.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows: nothing is proven there, so nothing is removed
    fcntl = None  # type: ignore[assignment]

PREFIX = "makoto-batch-"
LOCK, FILES = "owner.lock", "files"
# Another process may take a folder for a leftover in the moment between its making and its lock.
ATTEMPTS = 20


@dataclass(frozen=True)
class Kept:
    """A temporary folder that was not removed, and why."""

    folder: Path
    why: str


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """An empty folder of this process, on whatever disk the system gives temporary files; leftovers make room first.

    A thread that is still at work when the run ends does not hide why it ended: the next run removes what it wrote.
    """
    remove_leftovers()
    folder, lock = _claim()
    try:
        yield make_folder(folder / FILES)
    finally:
        _remove(folder)
        os.close(lock)


@contextmanager
def folder_within(scratch: Path) -> Iterator[Path]:
    """A folder in another one that is gone before that one is."""
    with tempfile.TemporaryDirectory(dir=scratch, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def nameless_file(scratch: Path) -> IO[bytes]:
    """A file in a temporary folder that no name leads to; the system removes it when it is closed."""
    return tempfile.TemporaryFile(dir=scratch)


def make_folder(folder: Path) -> Path:
    """The folder, made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def temporary_root() -> Path:
    """Where the system gives temporary files."""
    return Path(tempfile.gettempdir())


def remove_leftovers() -> list[Kept]:
    """Remove the temporary folders of runs that are no more; those that stay, and why. Never fails a run."""
    try:
        folders = sorted(Path(each.path) for each in os.scandir(temporary_root()) if each.name.startswith(PREFIX))
    except OSError:
        return []
    kept = ((folder, _remove_if_dead(folder)) for folder in folders)
    return [Kept(folder, why) for folder, why in kept if why]


def _claim() -> tuple[Path, int]:
    for _ in range(ATTEMPTS):
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = os.open(folder / LOCK, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        # A lock on a file that was removed meanwhile would prove nothing.
        if _hold(lock, unknown=True) and os.fstat(lock).st_nlink:
            return folder, lock
        os.close(lock)
    raise OSError(f"no temporary folder could be kept in {temporary_root()}")


def _remove_if_dead(folder: Path) -> str | None:
    """Remove a folder whose process is no more; else why it stays, or None where it is no run's."""
    try:
        about = folder.lstat()
        if not stat.S_ISDIR(about.st_mode):  # a link is not followed
            return None
        if about.st_uid != os.geteuid():
            return "it is another user's"
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"it cannot be opened ({type(error).__name__})"
    try:
        if not stat.S_ISREG(os.fstat(lock).st_mode):
            return None
        if not _hold(lock, unknown=False):
            return "a run is at work in it"
        return None if _remove(folder) else "it cannot be removed whole"
    finally:
        os.close(lock)


def _hold(lock: int, *, unknown: bool) -> bool:
    """Whether the lock is ours now; `unknown` is the answer where the file system knows no locks."""
    if fcntl is None:
        return unknown
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return unknown
    return True


def _remove(folder: Path) -> bool:
    """Remove a folder whose lock is held, the lock last; whether it is gone."""
    shutil.rmtree(folder / FILES, ignore_errors=True)
    if os.path.lexists(folder / FILES):
        return False
    try:
        (folder / LOCK).unlink(missing_ok=True)
        folder.rmdir()
    except OSError:
        # Something was written in between: without its lock nobody would ever remove it.
        with suppress(OSError):
            (folder / LOCK).touch()
        return False
    return True

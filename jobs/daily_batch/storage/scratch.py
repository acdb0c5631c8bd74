"""Temporary folders, each owned by a living process: it holds a lock on a file in the folder.

A run removes its folder when it ends. The system releases the lock even of a killed process, so the folder of such a
run is recognized with certainty, and the next run of any kind removes it. A folder without the lock file belongs to no
run and stays.
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
except ImportError:  # Windows: ownership cannot be proven, so nothing is removed
    fcntl = None  # type: ignore[assignment]

PREFIX = "makoto-batch-"
LOCK, FILES = "owner.lock", "files"
# Another process may remove a folder as abandoned in the moment between its creation and its lock.
MAX_ATTEMPTS = 20


@dataclass(frozen=True)
class RetainedFolder:
    """A temporary folder that was not removed, and the reason."""

    folder: Path
    why: str


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield an empty folder of this process on the system's temporary disk; remove abandoned folders first.

    A thread that still writes when the run ends does not hide the run's error: the next run removes its files.
    """
    remove_abandoned()
    folder, lock = _create()
    try:
        yield make_folder(folder / FILES)
    finally:
        _remove(folder)
        os.close(lock)


@contextmanager
def folder_within(scratch: Path) -> Iterator[Path]:
    """Yield a subfolder that is removed before its parent."""
    with tempfile.TemporaryDirectory(dir=scratch, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def anonymous_file(scratch: Path) -> IO[bytes]:
    """Return a file without a name in a temporary folder; the system removes it when it is closed."""
    return tempfile.TemporaryFile(dir=scratch)


def make_folder(folder: Path) -> Path:
    """Create the folder if it is missing, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def temporary_root() -> Path:
    """Return the system's folder of temporary files."""
    return Path(tempfile.gettempdir())


def remove_abandoned() -> list[RetainedFolder]:
    """Remove the folders of runs that have ended; return those that stay. Never raises an error of the disk."""
    try:
        folders = sorted(Path(each.path) for each in os.scandir(temporary_root()) if each.name.startswith(PREFIX))
    except OSError:
        return []
    reasons = ((folder, _remove_if_abandoned(folder)) for folder in folders)
    return [RetainedFolder(folder, reason) for folder, reason in reasons if reason]


def _create() -> tuple[Path, int]:
    for _ in range(MAX_ATTEMPTS):
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = os.open(folder / LOCK, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        # A lock on a file that was removed meanwhile proves nothing.
        if _try_lock(lock, unsupported=True) and os.fstat(lock).st_nlink:
            return folder, lock
        os.close(lock)
    raise OSError(f"no temporary folder could be locked in {temporary_root()}")


def _remove_if_abandoned(folder: Path) -> str | None:
    """Remove a folder whose process has ended; otherwise return why it stays, or None if it belongs to no run."""
    try:
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode):  # links are not followed
            return None
        if status.st_uid != os.geteuid():
            return "it is another user's"
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"it cannot be opened ({type(error).__name__})"
    try:
        if not stat.S_ISREG(os.fstat(lock).st_mode):
            return None
        if not _try_lock(lock, unsupported=False):
            return "a run is using it"
        return None if _remove(folder) else "it cannot be removed completely"
    finally:
        os.close(lock)


def _try_lock(lock: int, *, unsupported: bool) -> bool:
    """Return whether this process has the lock now; `unsupported` is the result on file systems without locks."""
    if fcntl is None:
        return unsupported
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return unsupported
    return True


def _remove(folder: Path) -> bool:
    """Remove a folder whose lock this process has, the lock file last; return whether it is gone."""
    shutil.rmtree(folder / FILES, ignore_errors=True)
    if os.path.lexists(folder / FILES):
        return False
    try:
        (folder / LOCK).unlink(missing_ok=True)
        folder.rmdir()
    except OSError:
        # Something was written meanwhile: without its lock file the folder would never be removed.
        with suppress(OSError):
            (folder / LOCK).touch()
        return False
    return True

"""Temporary folders, each owned by a living process: it holds a lock on a file in the folder.

A run removes its folder when it ends. The system releases the lock even of a killed process, so the folder of such a
run is recognized with certainty, and the next run of any kind removes it. A folder without the lock file belongs to no
run and stays.

A task of Spark has its folder in its executor's own local folder: Spark removes that with the application, even if the
executor was killed and no later run comes to its machine.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows: ownership cannot be proven, so nothing is removed
    fcntl = None  # type: ignore[assignment]

PREFIX = "makoto-batch-"
LOCK, FILES = "owner.lock", "files"
# Spark gives its Python workers the folders of their executor's blocks in this variable, one for each disk.
LOCAL_DIRS = "SPARK_LOCAL_DIRS"
# Where temporary folders are below a root: the system's own, of one machine or a container, and of a standalone worker.
_PLACES = ((), ("blockmgr-*",), ("spark-*", "executor-*", "blockmgr-*"))
# Another process may remove a folder as abandoned in the moment between its creation and its lock.
MAX_ATTEMPTS = 20


@dataclass(frozen=True)
class RetainedFolder:
    """A temporary folder that was not removed, and the reason."""

    folder: Path
    why: str


@contextmanager
def temporary_folder(within: Path | None = None) -> Iterator[Path]:
    """Yield an empty folder of this process, by default on the system's temporary disk; remove abandoned folders first.

    A thread that still writes when the run ends does not hide the run's error: the next run removes its files.
    """
    remove_abandoned()
    folder, lock = _create(within or temporary_root())
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


def executor_folder(environ: Mapping[str, str]) -> Path | None:
    """Return the local folder of this Python worker's executor on the emptiest disk; None if it may not write there."""
    usable = [folder for folder in _local_folders(environ) if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)]
    return max(usable, key=lambda folder: shutil.disk_usage(folder).free, default=None)


def remove_abandoned() -> list[RetainedFolder]:
    """Remove the folders of runs that have ended; return those that stay. Never raises an error of the disk."""
    # Three levels up from its own, a standalone executor finds those of executors whose worker died before it cleaned.
    local = {root for folder in _local_folders(os.environ) for root in (folder, *list(folder.parents)[:3])}
    places = [(*place, f"{PREFIX}*") for place in _PLACES]
    folders = {folder for root in {temporary_root(), *local} for place in places for folder in _find(root, place)}
    reasons = ((folder, _remove_if_abandoned(folder)) for folder in sorted(folders))
    return [RetainedFolder(folder, reason) for folder, reason in reasons if reason]


def _local_folders(environ: Mapping[str, str]) -> list[Path]:
    return [Path(name) for name in environ.get(LOCAL_DIRS, "").split(",") if name]


def _find(folder: Path, place: tuple[str, ...]) -> Iterator[Path]:
    """Yield the paths below a folder whose names match the patterns, one for each level; links are not followed."""
    try:
        found = [each for each in os.scandir(folder) if fnmatchcase(each.name, place[0])]
    except OSError:
        return
    for each in found:
        if len(place) == 1:
            yield Path(each.path)
        elif each.is_dir(follow_symlinks=False):
            yield from _find(Path(each.path), place[1:])


def _create(root: Path) -> tuple[Path, int]:
    for _ in range(MAX_ATTEMPTS):
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
        lock = os.open(folder / LOCK, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        # A lock on a file that was removed meanwhile proves nothing.
        if _try_lock(lock, unsupported=True) and os.fstat(lock).st_nlink:
            return folder, lock
        os.close(lock)
    raise OSError(f"no temporary folder could be locked in {root}")


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

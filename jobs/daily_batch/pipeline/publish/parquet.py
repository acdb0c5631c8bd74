"""Publish a table's day as plain Parquet files under `year=/month=/day=`.

Parquet has no commit. New files are complete before old ones go, so between the two a reader of the folder sees the
day twice, never a hole; a run that dies there leaves both, and the next run removes what is not its own. A reader that
has listed the folder before and opens an old file afterwards gets "not found" and must list again. An empty day leaves
a folder with no file, which Athena and Synapse read as no rows. Only the lease keeps two runs of one day apart here:
whatever lies in the day's folder and is not named by the publishing run is removed.
"""

from collections.abc import Sequence
from datetime import date

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import ObjectStore

from daily_batch.domain.keys import staged_path
from daily_batch.domain.run import DataFile
from daily_batch.errors import RetryableError, TerminalError
from daily_batch.pipeline.publish.result import Published, summarize_files


def day_folder(day: date) -> str:
    """Return the day's folder, relative to the table's."""
    return f"year={day:%Y}/month={day:%m}/day={day:%d}"


def publish_day(
    *, store: ObjectStore, table_folder: str, day: date, files: Sequence[DataFile], run_id: str, tenant: str = "-"
) -> Published:
    """Make `files`, which exist already, the only ones of the day's folder; other days are untouched.

    Raises:
        Retryable: a file is missing or has another size than its writer said, or the storage failed; nothing is removed
            in the first case.
        Terminal: access is denied.
    """
    who = {"tenant": tenant, "day": day.isoformat()}
    folder = f"{table_folder}/{day_folder(day)}"
    try:
        wanted = {f"{table_folder}/{file.path}": file.bytes for file in files}
        for file in files:
            _unstage(store, f"{table_folder}/{staged_path(file.path, day.isoformat())}", f"{table_folder}/{file.path}")
        found = _list_sizes(store, folder)
        broken = sorted(path for path, size in wanted.items() if found.get(path) != size)
        if broken:
            raise RetryableError(
                f"run {run_id} lacks {broken[0]!r} or part of it ({len(broken)} files), the day is as it was",
                next_step="run the day again",
                **who,
            )
        old = sorted(found.keys() - wanted.keys())
        old += sorted(_list_sizes(store, f"{table_folder}/{staged_path('', day.isoformat())}".rstrip("/")))
        if old:
            obstore.delete(store, old)
    except (PermissionDeniedError, UnauthenticatedError, PermissionError) as error:
        raise TerminalError(f"{folder}: access is denied", next_step="grant list and delete on it", **who) from error
    except FileNotFoundError as error:
        raise RetryableError(f"{folder}: another run removed a file", next_step="run the day again", **who) from error
    except (BaseError, OSError) as error:
        raise RetryableError(f"{folder}: {str(error)[:300]}", next_step="run the day again", **who) from error
    return summarize_files(files)


def _unstage(store: ObjectStore, staged: str, path: str) -> None:
    """Copy a file to where readers find it; a copy is whole or not there, on disk as in a bucket."""
    try:
        obstore.copy(store, staged, path)
    except FileNotFoundError:
        obstore.head(store, path)  # an earlier attempt of this run moved it


def _list_sizes(store: ObjectStore, folder: str) -> dict[str, int]:
    return {meta["path"]: meta["size"] for batch in obstore.list(store, prefix=f"{folder}/") for meta in batch}

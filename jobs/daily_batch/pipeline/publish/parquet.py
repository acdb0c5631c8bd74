"""Publish a table's day as plain Parquet files under `year=/month=/day=`.

Plain Parquet has no atomic commit. New files are complete before old ones are deleted, so a reader in between sees the
day twice, but never a gap. A run that is killed in between leaves both, and the next run deletes the old files. A
reader that listed the folder earlier and opens a deleted file gets "not found" and must list again. An empty day is a
folder without files, which Athena and Synapse read as no rows. Only the lease keeps two runs of one day apart: a run
deletes every file of the day's folder that is not its own.
"""

from collections.abc import Sequence
from datetime import date

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import ObjectStore

from daily_batch.domain.keys import staged_path
from daily_batch.domain.run import DataFile
from daily_batch.errors import RetryableError, TerminalError
from daily_batch.pipeline.publish.result import PublishResult, summarize_files


def day_folder(day: date) -> str:
    """Return the day's folder, relative to the table's folder."""
    return f"year={day:%Y}/month={day:%m}/day={day:%d}"


def publish_day(
    *, store: ObjectStore, table_folder: str, day: date, files: Sequence[DataFile], run_id: str, tenant: str = "-"
) -> PublishResult:
    """Replace the files of the day's folder by `files`, which are already written. Other days do not change.

    Raises:
        RetryableError: A file is missing or its size differs from what its writer reported (no file is deleted then),
            or the storage failed.
        TerminalError: Access is denied.
    """
    context = {"tenant": tenant, "day": day.isoformat()}
    folder = f"{table_folder}/{day_folder(day)}"
    try:
        expected = {f"{table_folder}/{file.path}": file.bytes for file in files}
        for file in files:
            _unstage(store, f"{table_folder}/{staged_path(file.path, day.isoformat())}", f"{table_folder}/{file.path}")
        stored = _list_sizes(store, folder)
        incomplete = sorted(path for path, size in expected.items() if stored.get(path) != size)
        if incomplete:
            raise RetryableError(
                f"{incomplete[0]!r} of run {run_id} is missing or incomplete ({len(incomplete)} files),"
                " the published day is unchanged",
                next_step="run the day again",
                **context,
            )
        old = sorted(stored.keys() - expected.keys())
        old += sorted(_list_sizes(store, f"{table_folder}/{staged_path('', day.isoformat())}".rstrip("/")))
        if old:
            obstore.delete(store, old)
    except (PermissionDeniedError, UnauthenticatedError, PermissionError) as error:
        step = "grant list and delete on it"
        raise TerminalError(f"{folder}: access is denied", next_step=step, **context) from error
    except FileNotFoundError as error:
        what = f"{folder}: another run removed a file"
        raise RetryableError(what, next_step="run the day again", **context) from error
    except (BaseError, OSError) as error:
        raise RetryableError(f"{folder}: {str(error)[:300]}", next_step="run the day again", **context) from error
    return summarize_files(files)


def _unstage(store: ObjectStore, staged: str, path: str) -> None:
    """Move a file to where readers find it.

    In a bucket, this is a copy and a delete. On a local disk it is one step: a copy that is killed would leave a second
    name, which ends in # and a number, and which obstore neither lists nor deletes (measured with 0.12.1).
    """
    try:
        obstore.rename(store, staged, path)
    except FileNotFoundError:
        obstore.head(store, path)  # an earlier attempt of this run has moved it


def _list_sizes(store: ObjectStore, folder: str) -> dict[str, int]:
    return {meta["path"]: meta["size"] for batch in obstore.list(store, prefix=f"{folder}/") for meta in batch}

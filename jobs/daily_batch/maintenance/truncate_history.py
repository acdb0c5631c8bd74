"""A Delta table's past, which still holds what the present no longer does: old files, and a log with their bounds."""

import re
from collections.abc import Mapping

from deltalake import CommitProperties
from deltalake.exceptions import CommitFailedError

from daily_batch.domain.contract import Table
from daily_batch.errors import RetryableError
from daily_batch.maintenance.table_files import TenantTables, delete_keys
from daily_batch.pipeline.publish import delta_log
from daily_batch.pipeline.publish.delta import MAX_COMMIT_ATTEMPTS

# Commits, checkpoints in one part or many, checksums that Spark writes, and commits taken together.
_ENTRY = re.compile(
    r"_delta_log/(?:\.)?([0-9]{20})\.(?:[0-9]{20}\.)?(?:json|crc|compacted\.json|checkpoint\..*parquet)(?:\.crc)?"
)
_LEFT = re.compile(r"_delta_log/(?:_commit_|\.tmp).*")


def truncate_history(tables: TenantTables, table: Table, *, erasure: str) -> int | None:
    """Begin the log anew at its latest version: a checkpoint of what is there now, and nothing that is older.

    From then on no earlier version can be read. A run that began before finds out by the table's files and the day's
    token, as it does in any case. Returns the first version that can be read; None without such a table.

    Raises:
        Retryable: others commit faster than this.
    """
    location, options = tables.location(table)
    if delta_log.open_table(location, options) is None:
        return None
    for _ in range(MAX_COMMIT_ATTEMPTS):
        try:
            first = _checkpoint(location, options, erasure)
        except CommitFailedError:
            continue
        stored = list(tables.log_files(table))
        old = [file.key for file in stored if (version := _version_of(file.path)) is not None and version < first]
        old += [file.key for file in stored if _LEFT.fullmatch(file.path)]
        delete_keys(tables.open(), old)
        return first
    raise RetryableError(
        f"{table.name} is committed to faster than its history can be removed", next_step="erase again"
    )


def _checkpoint(location: str, options: Mapping[str, str], erasure: str) -> int:
    """A commit that holds nothing, so that the oldest one left tells nothing, and a checkpoint on it or a later one."""
    delta = delta_log.open_table(location, options)
    assert delta is not None  # noqa: S101  (the caller has seen it)
    properties = CommitProperties(custom_metadata={"erasure": erasure}, max_commit_retries=0)
    delta.create_write_transaction([], "append", delta.schema(), delta_log.PARTITION, commit_properties=properties)
    delta.update_incremental()
    delta.create_checkpoint()
    return delta.version()


def _version_of(path: str) -> int | None:
    match = _ENTRY.fullmatch(path)
    return int(match[1]) if match else None

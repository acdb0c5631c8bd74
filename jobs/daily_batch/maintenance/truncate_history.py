"""Truncate the history of a Delta table: its old log entries still hold the bounds of columns of removed files."""

import re
from collections.abc import Mapping

from deltalake import CommitProperties
from deltalake.exceptions import CommitFailedError

from daily_batch.domain.contract import Table
from daily_batch.errors import RetryableError
from daily_batch.maintenance.table_files import TenantTables, delete_keys
from daily_batch.pipeline.publish import delta_log
from daily_batch.pipeline.publish.commit_retry import MAX_COMMIT_ATTEMPTS

# Commits, checkpoints in one part or several, checksums by Spark, and compacted commits.
_ENTRY = re.compile(
    r"_delta_log/(?:\.)?([0-9]{20})\.(?:[0-9]{20}\.)?(?:json|crc|compacted\.json|checkpoint\..*parquet)(?:\.crc)?"
)
_LEFTOVER = re.compile(r"_delta_log/(?:_commit_|\.tmp).*")


def truncate_history(tables: TenantTables, table: Table, *, erasure: str) -> int | None:
    """Restart the log at its latest version, from a checkpoint of the current state, and delete everything older.

    No earlier version can be read afterwards. A run that started before still detects conflicts, by the table's files
    and the day's token.

    Returns:
        The first version that can be read; None without a Delta table.

    Raises:
        RetryableError: the table receives commits faster than its history can be removed.
    """
    location, options = tables.location(table)
    if delta_log.open_table(location, options) is None:
        return None
    for _ in range(MAX_COMMIT_ATTEMPTS):
        try:
            first = _checkpoint(location, options, erasure)
        except CommitFailedError:
            continue
        files = list(tables.log_files(table))
        old = [file.key for file in files if (version := _version_of(file.path)) is not None and version < first]
        old += [file.key for file in files if _LEFTOVER.fullmatch(file.path)]
        delete_keys(tables.open(), old)
        return first
    raise RetryableError(
        f"{table.name} receives commits faster than its history can be removed", next_step="run the same command again"
    )


def _checkpoint(location: str, options: Mapping[str, str], erasure: str) -> int:
    """Commit an empty transaction, as the oldest commit that stays must name nothing, and checkpoint at it or later."""
    delta = delta_log.open_table(location, options)
    assert delta is not None  # noqa: S101  (the caller has checked it)
    properties = CommitProperties(custom_metadata={"erasure": erasure}, max_commit_retries=0)
    delta.create_write_transaction([], "append", delta.schema(), delta_log.PARTITION, commit_properties=properties)
    delta.update_incremental()
    delta.create_checkpoint()
    return delta.version()


def _version_of(path: str) -> int | None:
    match = _ENTRY.fullmatch(path)
    return int(match[1]) if match else None

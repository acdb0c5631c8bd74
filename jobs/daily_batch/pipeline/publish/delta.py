"""Publish a table's day to Delta: one atomic commit that names the files, for every runner.

Two overwrites of one day must never both succeed. delta-rs rejects the second only if both remove the same files: two
runs that both found the day empty both succeed, and the rows double (measured with deltalake 1.6.6). So its own retries
are off (`max_commit_retries=0`: a commit succeeds only as the version directly after the one that was read), and this
module decides whether a commit in between is a conflict.
"""

import json
import time
from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial
from typing import TypeVar

from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.transaction import AddAction

from daily_batch.domain.contract import Table
from daily_batch.domain.run import DataFile
from daily_batch.pipeline.publish import delta_log
from daily_batch.pipeline.publish.commit_retry import commit_with_retry
from daily_batch.pipeline.publish.delta_log import PARTITION, Context, OpenDay
from daily_batch.pipeline.publish.open_table import TableFollower, open_day
from daily_batch.pipeline.publish.result import PublishResult, summarize_files
from daily_batch.pipeline.publish.schema import evolve_schema, table_schema
from daily_batch.pipeline.transform.statistics import statistics_json

T = TypeVar("T")


def publish_table(
    *,
    table: Table,
    location: str,
    storage_options: Mapping[str, str],
    day: date,
    files: Sequence[DataFile],
    run_id: str,
    metadata: Mapping[str, str],
    tenant: str = "-",
    token: int | None = None,
    fenced: bool = False,
    opened: OpenDay | None = None,
) -> PublishResult:
    """Replace the table's day by `files`, which are already written; without files the day becomes empty.

    Other days do not change. The call is idempotent: repeated by the same run, it finds the run's own commit.

    Args:
        table: The table of the contract.
        location: The table's URL.
        storage_options: Read at each attempt, so that a retry uses current credentials.
        day: The business day.
        files: The day's new files.
        run_id: The run's id, in the commit's metadata.
        metadata: Added to run id and counts in the commit's userMetadata, which every engine's history shows.
        tenant: For error messages.
        token: The fencing token, which must be greater than the day's token in the log; None: no check.
        fenced: The run has already written its token to the log (`fence_table`), so an equal token is its own.
        opened: The day as the run found it when it started; default: the day as it is now.

    Raises:
        RetryableError: Another run changed the day since it was opened, or the storage failed.
        LeaseHeldError: The log holds this token or a later one.
        TerminalError: The table's protocol, partitioning or types are not the contract's, or access is denied.
    """
    context = Context(tenant=tenant, day=day, table=table)
    opened = opened or open_day(table=table, location=location, storage_options=storage_options, day=day, tenant=tenant)
    base, follow = opened.snapshot, TableFollower(opened, table, location, storage_options)
    actions = [_add_action(file, context) for file in files]
    properties = CommitProperties(
        custom_metadata=_commit_metadata(files, day=day, run_id=run_id, metadata=metadata),
        max_commit_retries=0,
        app_transactions=_transactions(token, day),
    )

    def commit() -> PublishResult:
        delta = follow()
        delta_log.check_table(delta, context)
        version = delta_log.find_commit(delta, base, files, day=day, run_id=run_id)
        if version is None:
            if token is not None:
                delta_log.check_token(delta, token, context, known=base, fenced=fenced)
            delta_log.check_unchanged(delta, base, context)
            version = _commit(delta, actions, properties, context)
        return summarize_files(files, version=version)

    return commit_with_retry(commit, context)


def fence_table(
    *,
    table: Table,
    location: str,
    storage_options: Mapping[str, str],
    day: date,
    token: int,
    tenant: str = "-",
    opened: OpenDay | None = None,
) -> OpenDay:
    """Write the token to the table's log before any work, so that no run with a lower one can publish the day.

    Args:
        table: The table of the contract.
        location: The table's URL.
        storage_options: Read at each attempt.
        day: The business day.
        token: This run's token.
        tenant: For error messages.
        opened: The day as the run found it; default: the day as it is now.

    Returns:
        The day under that token; it includes what runs with lower tokens have published.

    Raises:
        RetryableError: The storage failed.
        LeaseHeldError: The log holds a later token.
    """
    context = Context(tenant=tenant, day=day, table=table)
    properties = CommitProperties(
        custom_metadata={"fenced_day": day.isoformat()},
        max_commit_retries=0,
        app_transactions=_transactions(token, day),
    )

    opened = opened or open_day(table=table, location=location, storage_options=storage_options, day=day, tenant=tenant)
    base, follow = opened.snapshot, TableFollower(opened, table, location, storage_options)

    def commit() -> OpenDay:
        delta = follow()
        delta_log.check_token(delta, token, context, known=base, fenced=True)
        found = base if delta.version() == base.version else delta_log.snapshot_day(delta, day)
        if found.token < token:
            delta.create_write_transaction([], "append", delta.schema(), PARTITION, commit_properties=properties)
            delta.update_incremental()
            found = delta_log.snapshot_day(delta, day)
        return OpenDay(found, delta, follow.options)

    return commit_with_retry(commit, context)


def remove_orphans(
    *,
    location: str,
    storage_options: Mapping[str, str],
    retention_hours: int | None = None,
    allow_shorter: bool = False,
    full: bool = True,
    dry_run: bool = False,
) -> list[str]:
    """Delete files that no commit names (left by crashed runs) and files that only old versions name; return them.

    A full vacuum of delta-rs does both, and keeps files younger than the retention: those that a run is writing now,
    and those that readers of recent versions need. It lists the whole table, so it belongs to maintenance, not to every
    run.

    Args:
        location: The table's URL.
        storage_options: The storage's options.
        retention_hours: Default: the table's own retention, a week.
        allow_shorter: Allow `retention_hours` below the table's own retention.
        full: Also delete files that no commit names, in any folder below the table's; False if other files are there.
        dry_run: Return the files without deleting them.

    Raises:
        DeltaError: `retention_hours` is below the table's own retention, and `allow_shorter` is not set.
    """
    delta = delta_log.open_table(location, storage_options)
    if delta is None:
        return []
    vacuum = partial(
        delta.vacuum, retention_hours=retention_hours, enforce_retention_duration=not allow_shorter, full=full
    )
    # A vacuum writes two commits even if there is nothing to delete.
    candidates = vacuum(dry_run=True)
    return candidates if dry_run or not candidates else vacuum(dry_run=False)


def _transactions(token: int | None, day: date) -> list[Transaction] | None:
    return None if token is None else [Transaction(delta_log.app_id(day), token)]


def _commit(delta: DeltaTable, actions: list[AddAction], properties: CommitProperties, context: Context) -> int:
    """Commit on top of `delta`'s version and return the new version."""
    version = delta.version() + 1
    delta.create_write_transaction(
        list(actions),
        "overwrite",
        evolve_schema(delta.schema(), table_schema(context.table)),
        PARTITION,
        [(PARTITION, "=", context.day.isoformat())],
        commit_properties=properties,
    )
    return version


def _add_action(file: DataFile, context: Context) -> AddAction:
    day = context.day.isoformat()
    if not file.path.startswith(f"{PARTITION}={day}/"):
        raise context.terminal(f"file {file.path!r} is not of this day", next_step="report it, nothing was published")
    return AddAction(
        path=file.path,
        size=file.bytes,
        partition_values={PARTITION: day},
        modification_time=time.time_ns() // 1_000_000,
        data_change=True,
        stats=statistics_json(file),
    )


def _commit_metadata(
    files: Sequence[DataFile], *, day: date, run_id: str, metadata: Mapping[str, str]
) -> dict[str, str]:
    """Return run and day as fields that `find_commit` reads, and everything as JSON text in userMetadata.

    Text, because every engine's parser accepts it.
    """
    totals = summarize_files(files)
    run = {"run_id": run_id, "day": day.isoformat()}
    counts = {"rows": totals.rows, "files": totals.files, "bytes": totals.bytes}
    return {**run, "userMetadata": json.dumps({**metadata, **run, **counts}, ensure_ascii=False)}

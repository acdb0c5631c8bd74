"""Publish a table's day to Delta: one atomic commit that names the files, for every runner.

Two overwrites of one day must never both land. delta-rs refuses the second only when both remove the same files; two
runs that both found the day empty are both let in, and the rows double (deltalake 1.6.6, measured). So its own retries
are off (`max_commit_retries=0`: a commit lands on the very version after the one that was read, or not at all), and
whether a commit that came between matters is decided here.
"""

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import partial
from typing import TypeVar

from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction

from daily_batch.domain.contract import Table
from daily_batch.domain.run import DataFile
from daily_batch.errors import BatchError, is_retryable
from daily_batch.pipeline.publish import delta_log
from daily_batch.pipeline.publish.delta_log import PARTITION, Context, DaySnapshot
from daily_batch.pipeline.publish.result import Published, summarize_files
from daily_batch.pipeline.publish.schema import evolve_schema, table_schema
from daily_batch.pipeline.publish.statistics import statistics_json
from daily_batch.storage.failures import explain_access, is_denied, is_missing, quote_cause

Landed = TypeVar("Landed")

# Each round of a race has a winner, so this many rivals can write to one table at once.
MAX_COMMIT_ATTEMPTS = 30
STORAGE_ATTEMPTS = 3
LONGEST_PAUSE_S = 2.0
# Stated, not left to defaults: Databricks and newer engines may turn these on for tables they did not create.
# enableRowTracking=false and enableInCommitTimestamps=false belong here too, but delta-rs 1.6.6 refuses to parse them.
PROPERTIES = {
    "delta.enableDeletionVectors": "false",
    "delta.columnMapping.mode": "none",
    "delta.checkpointPolicy": "classic",
    "delta.checkpointInterval": "10",
    "delta.deletedFileRetentionDuration": "interval 7 days",
}


def observe_day(
    *, table: Table, location: str, storage_options: Mapping[str, str], day: date, tenant: str = "-"
) -> DaySnapshot:
    """Return what the table holds for the day now: a run that keeps it notices another run that came between."""
    context = Context(tenant=tenant, day=day, table=table)
    try:
        return delta_log.snapshot_day(delta_log.open_table(location, storage_options), day)
    except (DeltaError, OSError) as error:
        raise explain_failure(error, context) from error


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
    seen: DaySnapshot | None = None,
) -> Published:
    """Replace the table's day by `files`, which exist already; no file at all empties the day.

    Other days are untouched. Called again by the same run after an answer was lost, it finds its own commit.

    Args:
        storage_options: read at each opening, so that an attempt after a wait has credentials of then.
        metadata: goes with run id and counts into the commit's userMetadata, which every engine's history shows.
        seen: what the run found when it began; absent: what is there now.
        token: fencing token, which must be greater than the one that the log holds for the day; absent: not checked.
        fenced: the run has written its token into the log before (`fence_table`), so that it may be equal.

    Raises:
        Retryable: another run changed the day since `seen`, or the storage failed.
        LeaseHeld: the log holds this token or a later one.
        Terminal: the table's protocol, partitioning or types are not the contract's, or access is denied.
    """
    context = Context(tenant=tenant, day=day, table=table)
    base = seen or observe_day(table=table, location=location, storage_options=storage_options, day=day, tenant=tenant)
    actions = [_add_action(file, context) for file in files]
    properties = CommitProperties(
        custom_metadata=_commit_metadata(files, day=day, run_id=run_id, metadata=metadata),
        max_commit_retries=0,
        app_transactions=_transactions(token, day),
    )

    def commit() -> Published:
        delta = delta_log.open_table(location, storage_options) or _create_table(table, location, storage_options)
        delta_log.check_table(delta, context)
        version = delta_log.find_commit(delta, base, files, day=day, run_id=run_id)
        if version is None:
            if token is not None:
                delta_log.check_token(delta, token, context, fenced=fenced)
            delta_log.check_unchanged(delta, base, context)
            version = _commit(delta, actions, properties, context)
        return summarize_files(files, version=version)

    return _commit_with_retry(commit, context)


def fence_table(
    *, table: Table, location: str, storage_options: Mapping[str, str], day: date, token: int, tenant: str = "-"
) -> DaySnapshot:
    """Write the token into the table's log, before any work: no run with a lower one can publish the day from now on.

    Returns what the table holds then: whatever a run with a lower token has published came before.

    Raises:
        Retryable: the storage failed.
        LeaseHeld: the log holds a later token.
    """
    context = Context(tenant=tenant, day=day, table=table)
    properties = CommitProperties(
        custom_metadata={"fenced_day": day.isoformat()},
        max_commit_retries=0,
        app_transactions=_transactions(token, day),
    )

    def commit() -> DaySnapshot:
        delta = delta_log.open_table(location, storage_options) or _create_table(table, location, storage_options)
        delta_log.check_token(delta, token, context, fenced=True)
        if delta_log.snapshot_day(delta, day).token < token:
            delta.create_write_transaction([], "append", delta.schema(), PARTITION, commit_properties=properties)
            delta.update_incremental()
        return delta_log.snapshot_day(delta, day)

    return _commit_with_retry(commit, context)


def _commit_with_retry(commit: Callable[[], Landed], context: Context) -> Landed:
    """What `commit` returns, tried again while others take the version or an answer is lost."""
    for attempt in range(1, MAX_COMMIT_ATTEMPTS + 1):
        try:
            return commit()
        except (DeltaError, OSError) as error:
            # The version was taken, or an answer was lost: the next attempt finds out from the log.
            failure = explain_failure(error, context)
            last = MAX_COMMIT_ATTEMPTS if isinstance(error, CommitFailedError) else STORAGE_ATTEMPTS
            if not is_retryable(failure) or attempt >= last:
                raise failure from error
            pause = min(LONGEST_PAUSE_S, 0.05 * 2**attempt)
            time.sleep(random.uniform(0, pause))  # noqa: S311 - spreads the retries, guards nothing
    raise AssertionError("the last attempt returns or raises")


def remove_orphans(
    *,
    location: str,
    storage_options: Mapping[str, str],
    retention_hours: int | None = None,
    shorter: bool = False,
    full: bool = True,
    dry_run: bool = False,
) -> list[str]:
    """Delete files that no commit names, left by crashed runs, and files that only old versions name; return them.

    delta-rs' full vacuum does both and spares whatever is younger than the retention (default: the table's own, a
    week): a file that a run is writing now, and the files that readers of recent versions need. It lists the whole
    table, so it belongs to maintenance, not to every run.

    Args:
        shorter: allow `retention_hours` that are shorter than the table's own retention.
        full: also files that no commit names, in any folder below the table's: where others lie, say no.
        dry_run: only return what would be deleted.

    Raises:
        DeltaError: `retention_hours` is shorter than the table's own retention, and that was not allowed.
    """
    delta = delta_log.open_table(location, storage_options)
    if delta is None:
        return []
    vacuum = partial(delta.vacuum, retention_hours=retention_hours, enforce_retention_duration=not shorter, full=full)
    # A vacuum writes two commits even if it finds nothing, so look first.
    found = vacuum(dry_run=True)
    return found if dry_run or not found else vacuum(dry_run=False)


def _transactions(token: int | None, day: date) -> list[Transaction] | None:
    return None if token is None else [Transaction(delta_log.app_id(day), token)]


def explain_failure(error: Exception, context: Context) -> BatchError:
    """Return the error that says whether trying again can help, with the storage's own words."""
    if known := explain_access(error, tenant=context.tenant, day=context.day.isoformat()):
        return known
    cause = quote_cause(error)
    if is_denied(error):
        return context.terminal(
            f"{context.table.name}: access is denied: {cause}",
            next_step="allow this identity to list, read and write the tables",
        )
    if is_missing(error):
        what = f"{context.table.name}: the output's bucket or container does not exist"
        return context.terminal(what, next_step="check the output URL")
    return context.retryable(f"{context.table.name} could not be committed: {cause}")


def _create_table(table: Table, location: str, storage_options: Mapping[str, str]) -> DeltaTable:
    """Create the table, or open it if another run was faster."""
    return DeltaTable.create(
        location,
        table_schema(table),
        mode="ignore",
        partition_by=PARTITION,
        configuration={**PROPERTIES, "delta.dataSkippingStatsColumns": ",".join(table.statistics)},
        storage_options=dict(storage_options),
    )


def _commit(delta: DeltaTable, actions: list[AddAction], properties: CommitProperties, context: Context) -> int:
    """Commit on top of the version that `delta` shows and return the new version."""
    version = delta.version() + 1
    delta.create_write_transaction(
        list(actions),
        "overwrite",
        evolve_schema(delta.schema(), table_schema(context.table)),
        PARTITION,
        [(PARTITION, "=", context.day.isoformat())],
        commit_properties=properties,
    )
    delta.update_incremental()
    delta_log.check_table(delta, context)
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
    """Return run and day as fields that we read back, and everything as text that no engine's parser stumbles over."""
    totals = summarize_files(files)
    told = {**metadata, "run_id": run_id, "day": day.isoformat()}
    counts = {"rows": totals.rows, "files": totals.files, "bytes": totals.bytes}
    return {
        "run_id": run_id,
        "day": day.isoformat(),
        "userMetadata": json.dumps({**told, **counts}, ensure_ascii=False),
    }

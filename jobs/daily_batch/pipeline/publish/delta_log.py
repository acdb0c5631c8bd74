"""Read a Delta table's log for one day: its live files, its commits and its fencing token.

Optimistic concurrency and fencing are decided here: whether a run may still commit on top of what it found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from daily_batch.domain.contract import Table
from daily_batch.domain.run import DataFile
from daily_batch.errors import LeaseHeldError, RetryableError, TerminalError
from daily_batch.pipeline.publish.schema import evolve_schema, table_schema

PARTITION = "date"
READER, WRITER = 1, 2


@dataclass(frozen=True)
class DaySnapshot:
    """One table's day in one version of the table.

    Attributes:
        version: The table's version; -1 if there is no table.
        files: The URIs of the day's live files.
        token: The fencing token in the log; 0 if there is none.
    """

    version: int
    files: frozenset[str]
    token: int = 0


@dataclass(frozen=True)
class OpenDay:
    """One table's day, and the open table in which it was found.

    To open a table is to replay its log: ten to thirty round trips. A table that stays open follows its log in two.

    Attributes:
        snapshot: The day when the table was opened.
        delta: The table; None if there was none.
        options: The storage options, with the credentials of that moment, with which it was opened.
    """

    snapshot: DaySnapshot
    delta: DeltaTable | None = field(default=None, repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class Context:
    """One table's day, which errors name."""

    tenant: str
    day: date
    table: Table

    def retryable(self, what: str) -> RetryableError:
        """Return an error after which the day can be run again."""
        return RetryableError(what, next_step="run the day again", tenant=self.tenant, day=self.day.isoformat())

    def terminal(self, what: str, *, next_step: str) -> TerminalError:
        """Return an error that an operator must resolve before the day can run again."""
        return TerminalError(what, next_step=next_step, tenant=self.tenant, day=self.day.isoformat())


def open_table(location: str, storage_options: Mapping[str, str]) -> DeltaTable | None:
    """Return the table at its latest version, or None if there is no table."""
    try:
        return DeltaTable(location, storage_options=dict(storage_options))
    except TableNotFoundError:
        return None


def follow_table(
    delta: DeltaTable | None, opened_with: Mapping[str, str], location: str, options: Mapping[str, str]
) -> DeltaTable | None:
    """Return the table at its latest version, or None if there is no table.

    An open one reads its new commits, unless credentials have been renewed since it was opened `opened_with` others.
    """
    if delta is None or opened_with != options:
        return open_table(location, options)
    delta.update_incremental()
    return delta


def snapshot_day(delta: DeltaTable | None, day: date) -> DaySnapshot:
    """Return the day in this version of the table."""
    if delta is None:
        return DaySnapshot(-1, frozenset())
    return DaySnapshot(delta.version(), live_files(delta, day), delta.transaction_version(app_id(day)) or 0)


def live_files(delta: DeltaTable, day: date) -> frozenset[str]:
    """Return the URIs of the day's files in this version of the table."""
    return frozenset(delta.file_uris(file_pruning_predicate=[(PARTITION, "=", day.isoformat())]))


def app_id(day: date) -> str:
    """Return the Delta `appId` of the day's fencing token. A table belongs to one tenant."""
    return f"makoto-daily-batch/{day.isoformat()}"


def check_table(delta: DeltaTable, context: Context) -> None:
    """Raise unless every reader can read the table and it matches the contract.

    Raises:
        TerminalError: The table's protocol, types or partitioning are not the contract's.
    """
    protocol = delta.protocol()
    if protocol.min_reader_version > READER or protocol.min_writer_version > WRITER:
        raise context.terminal(
            f"{context.table.name} needs reader {protocol.min_reader_version} and writer {protocol.min_writer_version},"
            f" and this version supports {READER} and {WRITER}",
            next_step="find who upgraded it, drop its table features or move the table away, and run again",
        )
    try:
        evolve_schema(delta.schema(), table_schema(context.table))
    except ValueError as error:
        raise _mismatch_error(context, str(error)) from error
    if delta.metadata().partition_columns != [PARTITION]:
        raise _mismatch_error(
            context, f"it is partitioned by {delta.metadata().partition_columns}, not by [{PARTITION}]"
        )


def find_commit(
    delta: DeltaTable, since: DaySnapshot, files: Sequence[DataFile], *, day: date, run_id: str
) -> int | None:
    """Return the version in which this run has already published the day, or None. Its response may have been lost.

    Files that are live count even if they were committed before `since`: Delta's protocol does not allow a commit that
    adds and removes the same path.
    """
    for commit in _commits_since(delta, since):
        if commit.get("run_id") == run_id and commit.get("day") == day.isoformat():
            return int(str(commit["version"]))
    live = {uri.rpartition("/")[2] for uri in live_files(delta, day)}
    ours = {file.path.rpartition("/")[2] for file in files}
    return delta.version() if live & ours else None


def check_unchanged(delta: DeltaTable, since: DaySnapshot, context: Context) -> None:
    """Raise if anyone has changed the day after `since`, with files or by emptying it.

    Raises:
        RetryableError: Another run changed the day.
    """
    conflicting_runs = [
        str(commit.get("run_id"))
        for commit in _commits_since(delta, since)
        if commit.get("day") == context.day.isoformat()
    ]
    if conflicting_runs:
        raise context.retryable(f"run {conflicting_runs[0]} published {context.table.name} while this run was running")
    if delta.version() != since.version and live_files(delta, context.day) != since.files:
        raise context.retryable(f"the files of {context.table.name} changed while this run was running")


def check_token(delta: DeltaTable, token: int, context: Context, *, known: DaySnapshot, fenced: bool) -> None:
    """Raise if the log holds a later fencing token: delta-rs records tokens but does not compare them.

    Args:
        delta: The table at its latest version.
        token: This run's token.
        context: The table's day.
        known: The day as it was read before. If the version is still the same, its token is not read again.
        fenced: This run has written its token to the log, so an equal token is its own.

    Raises:
        LeaseHeldError: The log holds a later token, or an equal one that is not this run's.
    """
    same = delta.version() == known.version
    current = known.token if same else delta.transaction_version(app_id(context.day)) or 0
    if current > token or (current == token and not fenced):
        raise LeaseHeldError(
            f"the lease is lost: {context.table.name} is held under token {current}, ours is {token}",
            next_step="nothing to do, the run that holds the lease continues",
            tenant=context.tenant,
            day=context.day.isoformat(),
        )


def _commits_since(delta: DeltaTable, since: DaySnapshot) -> Sequence[dict[str, object]]:
    """Return the `commitInfo` of each version after `since`, the latest first."""
    behind = delta.version() - since.version
    return delta.history(behind) if behind > 0 else ()


def _mismatch_error(context: Context, what: str) -> TerminalError:
    return context.terminal(
        f"{context.table.name} is not the contract's table: {what}", next_step="move the table away and run again"
    )

"""What a Delta table's log says about a day: what is live, who committed, and whether we may write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    """A day as a run found it: the table's version (-1 when there is no table), the day's live files, and the fencing
    token with which it was published or fenced last."""

    version: int
    files: frozenset[str]
    token: int = 0


@dataclass(frozen=True, kw_only=True)
class Context:
    """What errors about one table's day name."""

    tenant: str
    day: date
    table: Table

    def retryable(self, what: str) -> RetryableError:
        """Return the error of a run that can simply be started again."""
        return RetryableError(what, next_step="run the day again", tenant=self.tenant, day=self.day.isoformat())

    def terminal(self, what: str, *, next_step: str) -> TerminalError:
        """Return the error that a person must end."""
        return TerminalError(what, next_step=next_step, tenant=self.tenant, day=self.day.isoformat())


def open_table(location: str, storage_options: Mapping[str, str]) -> DeltaTable | None:
    """Return the table at its latest version, or None when there is none."""
    try:
        return DeltaTable(location, storage_options=dict(storage_options))
    except TableNotFoundError:
        return None


def snapshot_day(delta: DeltaTable | None, day: date) -> DaySnapshot:
    """Return what the day holds in this version of the table."""
    if delta is None:
        return DaySnapshot(-1, frozenset())
    live = delta.file_uris(file_pruning_predicate=[(PARTITION, "=", day.isoformat())])
    return DaySnapshot(delta.version(), frozenset(live), delta.transaction_version(app_id(day)) or 0)


def app_id(day: date) -> str:
    """Under which name Delta's log keeps the day's fencing token; a table is of one tenant."""
    return f"makoto-daily-batch/{day.isoformat()}"


def check_table(delta: DeltaTable, context: Context) -> None:
    """Refuse a table that not every reader could read, or that is not the contract's."""
    protocol = delta.protocol()
    if protocol.min_reader_version > READER or protocol.min_writer_version > WRITER:
        raise context.terminal(
            f"{context.table.name} needs reader {protocol.min_reader_version} and writer {protocol.min_writer_version},"
            f" we keep it at {READER} and {WRITER}",
            next_step="find who upgraded it, drop the table features there or move the table away, and run again",
        )
    try:
        evolve_schema(delta.schema(), table_schema(context.table))
    except ValueError as error:
        raise _foreign(context, str(error)) from error
    if delta.metadata().partition_columns != [PARTITION]:
        raise _foreign(context, f"it is partitioned by {delta.metadata().partition_columns}, not by [{PARTITION}]")


def find_commit(
    delta: DeltaTable, since: DaySnapshot, files: Sequence[DataFile], *, day: date, run_id: str
) -> int | None:
    """Return the version with which this run has published the day already: its answer may have been lost.

    A commit that both adds and removes a path has no meaning in Delta's protocol, so files that are live are found
    even if they were committed before `since`.
    """
    for commit in _commits_since(delta, since):
        if commit.get("run_id") == run_id and commit.get("day") == day.isoformat():
            return int(str(commit["version"]))
    live = {uri.rpartition("/")[2] for uri in snapshot_day(delta, day).files}
    ours = {file.path.rpartition("/")[2] for file in files}
    return delta.version() if live & ours else None


def check_unchanged(delta: DeltaTable, since: DaySnapshot, context: Context) -> None:
    """Refuse to replace a day that anyone, by files or by an empty day, has changed after `since`."""
    rivals = [
        str(commit.get("run_id"))
        for commit in _commits_since(delta, since)
        if commit.get("day") == context.day.isoformat()
    ]
    if rivals:
        raise context.retryable(f"run {rivals[0]} published {context.table.name} while this run was at work")
    if snapshot_day(delta, context.day).files != since.files:
        raise context.retryable(f"the files of {context.table.name} changed while this run was at work")


def check_token(delta: DeltaTable, token: int, context: Context, *, fenced: bool) -> None:
    """Refuse a fencing token that is lower than the log's: delta-rs records them but does not compare them.

    An equal one is refused too, unless this run has written it there itself (`fenced`).
    """
    held = delta.transaction_version(app_id(context.day)) or 0
    if held > token or (held == token and not fenced):
        raise LeaseHeldError(
            f"the lease is lost: {context.table.name} is held under token {held}, ours is {token}",
            next_step="nothing to do, the run that holds the lease goes on",
            tenant=context.tenant,
            day=context.day.isoformat(),
        )


def _commits_since(delta: DeltaTable, since: DaySnapshot) -> Sequence[dict[str, object]]:
    """Return the commit infos of the versions after `since`, latest first."""
    behind = delta.version() - since.version
    return delta.history(behind) if behind > 0 else ()


def _foreign(context: Context, what: str) -> TerminalError:
    return context.terminal(
        f"{context.table.name} is not the contract's table: {what}", next_step="move the table away and run again"
    )

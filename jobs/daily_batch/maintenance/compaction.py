"""Compact a day of a Delta table: the same rows in fewer, sorted files.

A compaction takes no lease, so that its job needs no access to the ledger. Optimistic concurrency on the Delta log
settles conflicts: the second of a run and a compaction to commit fails. The run finds other files than its snapshot had
and is retried; the compaction gives up.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import duckdb
from deltalake import DeltaTable
from obstore.exceptions import AlreadyExistsError

from daily_batch.domain.contract import MESSAGES, REJECTS, TURNS, Table
from daily_batch.domain.run import DataFile
from daily_batch.errors import TerminalError
from daily_batch.maintenance.rewrite_files import MakeSpec, read_run, rewrite_files
from daily_batch.maintenance.table_files import TenantTables, check_complete, delete_keys, download
from daily_batch.pipeline.publish import delta_log
from daily_batch.pipeline.publish.commit_retry import MAX_COMMIT_ATTEMPTS
from daily_batch.pipeline.transform.statistics import statistics_json
from daily_batch.storage.scratch import temporary_folder

# The aggregates are one file a day.
COMPACTED = (MESSAGES, TURNS, REJECTS)
# Of Delta's protocol, for a table that names none.
DEFAULT_CHECKPOINT_INTERVAL = 10


@dataclass(frozen=True, kw_only=True)
class LiveFile:
    """A file of the table's latest version; `path` is relative to the table."""

    path: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class CompactionCandidate:
    """A table's day that has more files than it needs; `target_files` would do."""

    table: Table
    day: date
    files: tuple[LiveFile, ...]
    target_files: int

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(file.bytes for file in self.files)


def find_candidates(tables: TenantTables, *, before: date, target_bytes: int) -> list[CompactionCandidate]:
    """Return the days before `before` that could have at most half of their files; a compacted day never qualifies."""
    candidates = []
    for table in COMPACTED:
        delta = tables.follow(table)
        for day, files in sorted(_by_day(delta).items()) if delta else ():
            target = max(1, -(-sum(file.bytes for file in files) // target_bytes))
            if day < before and len(files) >= 2 * target:
                candidates.append(CompactionCandidate(table=table, day=day, files=tuple(files), target_files=target))
    return candidates


def compact_day(candidate: CompactionCandidate, tables: TenantTables, make_spec: MakeSpec) -> tuple[DataFile, ...]:
    """Rewrite a day into as many files as it needs, one at a time, and return them.

    Raises:
        RetryableError: the day changed meanwhile; this compaction changed nothing.
        TerminalError: a file of the day is missing or broken.
    """
    try:
        files = _write_files(candidate, tables, make_spec)
    except FileNotFoundError as error:
        day, files_of_day = candidate.day, tables.files_of_day(candidate.table, candidate.day)
        check_complete(candidate.table, tables.live_keys(candidate.table), files_of_day, tenant=tables.tenant, day=day)
        context = delta_log.Context(tenant=tables.tenant, day=day, table=candidate.table)
        raise context.retryable(f"a file of {candidate.table.name} was removed during the compaction") from error
    except duckdb.InvalidInputException as error:
        raise TerminalError(
            f"a file of {candidate.table.name} is not a complete Parquet file",
            next_step="run its day again",
            tenant=tables.tenant,
            day=candidate.day.isoformat(),
        ) from error
    commit_compaction(candidate, files, tables)
    return files


def _write_files(candidate: CompactionCandidate, tables: TenantTables, make_spec: MakeSpec) -> tuple[DataFile, ...]:
    """Write the new files, which no commit names yet."""
    store, table = tables.open(), candidate.table
    root = f"{tables.folder}/{table.name}"
    written = []
    for number, group in enumerate(group_files(candidate)):
        with temporary_folder() as scratch:
            paths = [download(store, f"{root}/{file.path}", scratch / f"{n}.parquet") for n, file in enumerate(group)]
            run = next(filter(None, map(read_run, paths)), ("compacted", 0))
            spec = make_spec(candidate.day, *run)
            name = f"compacted-{number:05d}"
            written.append(rewrite_files(paths, table, name=name, spec=spec, output=store, scratch=scratch))
    return tuple(file for file in written if file)


def group_files(candidate: CompactionCandidate) -> list[list[LiveFile]]:
    """Return the files in `target_files` groups of about the same size; each group becomes one file."""
    groups: list[list[LiveFile]] = [[] for _ in range(candidate.target_files)]
    sizes = [0] * candidate.target_files
    for file in sorted(candidate.files, key=lambda file: (-file.bytes, file.path)):
        smallest = sizes.index(min(sizes))
        groups[smallest].append(file)
        sizes[smallest] += file.bytes
    return [group for group in groups if group]


def commit_compaction(candidate: CompactionCandidate, files: Sequence[DataFile], tables: TenantTables) -> int:
    """Replace the old files by the new ones in a commit with `dataChange` false, and return its version.

    The commit is written here, as the Delta protocol specifies it: delta-rs 1.6.6 has a compaction of its own that does
    not sort, and its other commits set `dataChange` true on removed files, so that streams would read the day twice.

    Raises:
        RetryableError: the files of the day changed meanwhile.
    """
    store = tables.open()
    log = f"{tables.folder}/{candidate.table.name}/_delta_log"
    context = delta_log.Context(tenant=tables.tenant, day=candidate.day, table=candidate.table)
    body = _render_commit(candidate, files)
    for attempt in range(MAX_COMMIT_ATTEMPTS):
        delta = tables.follow(candidate.table)
        live = {_name(uri) for uri in delta_log.live_files(delta, candidate.day)} if delta else set()
        if delta and live == {_name(file.path) for file in files}:
            return delta.version()  # our own commit, whose response was lost
        if delta is None or live != {_name(file.path) for file in candidate.files}:
            if not attempt:  # not committed: the files must not keep rows that an erasure has removed meanwhile
                delete_keys(store, (f"{tables.folder}/{candidate.table.name}/{file.path}" for file in files))
            raise context.retryable(f"the files of {candidate.table.name} changed during the compaction")
        delta_log.check_table(delta, context)
        version = delta.version() + 1
        try:
            store.put(f"{log}/{version:020d}.json", body, mode="create")
        except AlreadyExistsError:
            continue
        _checkpoint_if_due(delta, version)
        return version
    raise context.retryable(f"{candidate.table.name} receives commits faster than it can be compacted")


def _name(path: str) -> str:
    """Return a file's name, which no other file of its day has."""
    return path.rpartition("/")[2]


def _checkpoint_if_due(delta: DeltaTable, version: int) -> None:
    """Checkpoint as delta-rs does after its own commits; without it, each day would read the commits of all before."""
    interval = int(delta.metadata().configuration.get("delta.checkpointInterval", DEFAULT_CHECKPOINT_INTERVAL))
    if (version + 1) % interval == 0:
        delta.update_incremental()
        delta.create_checkpoint()


def _by_day(delta: DeltaTable) -> dict[date, list[LiveFile]]:
    adds = delta.get_add_actions(flatten=True)
    columns = (adds[name].to_pylist() for name in ("path", "size_bytes", f"partition.{delta_log.PARTITION}"))
    by_day: dict[date, list[LiveFile]] = {}
    for path, size, day in sorted(zip(*columns, strict=True)):
        by_day.setdefault(day, []).append(LiveFile(path=path, bytes=size))
    return by_day


def _render_commit(candidate: CompactionCandidate, files: Sequence[DataFile]) -> bytes:
    now = time.time_ns() // 1_000_000
    values = {delta_log.PARTITION: candidate.day.isoformat()}
    commit_info = {
        "timestamp": now,
        "operation": "OPTIMIZE",
        "operationParameters": {"predicate": f"{delta_log.PARTITION} = '{candidate.day}'"},
        "engineInfo": "makoto-daily-batch",
        "isBlindAppend": False,
    }
    actions: list[dict[str, object]] = [{"commitInfo": commit_info}]
    for file in files:
        add = {"path": file.path, "partitionValues": values, "size": file.bytes, "modificationTime": now}
        actions.append({"add": {**add, "dataChange": False, "stats": statistics_json(file)}})
    for old in candidate.files:
        remove = {"path": old.path, "deletionTimestamp": now, "dataChange": False, "extendedFileMetadata": True}
        actions.append({"remove": {**remove, "partitionValues": values, "size": old.bytes}})
    return "".join(json.dumps(action, ensure_ascii=False) + "\n" for action in actions).encode()

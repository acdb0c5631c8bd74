"""Fewer and sorted files for a day that was written in many, with the same rows. Delta only.

No lease is taken, so that a job needs no access to the ledger: whoever commits second of a compaction and a run is told
so by the log. A run that was at work finds other files than it has seen and is run again, a compaction gives up.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import duckdb
from deltalake import DeltaTable
from obstore.exceptions import AlreadyExistsError

from daily_batch.domain.contract import MESSAGES, REJECTS, Table
from daily_batch.domain.run import DataFile
from daily_batch.errors import TerminalError
from daily_batch.maintenance.rewrite_files import MakePlan, read_run, rewrite_files
from daily_batch.maintenance.table_files import TenantTables, check_complete, delete_keys, fetch
from daily_batch.pipeline.publish import delta_log
from daily_batch.pipeline.publish.delta import MAX_COMMIT_ATTEMPTS
from daily_batch.pipeline.transform.statistics import statistics_json
from daily_batch.storage.scratch import temporary_folder

# The aggregates are one file a day.
COMPACTED = (MESSAGES, REJECTS)


@dataclass(frozen=True, kw_only=True)
class LiveFile:
    """A file that the latest version names; `path` is relative to the table."""

    path: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class CompactionCandidate:
    """A table's day in more files than it needs: those it has, and how many would do."""

    table: Table
    day: date
    files: tuple[LiveFile, ...]
    wanted: int

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file.bytes for file in self.files)


def find_crowded(tables: TenantTables, *, before: date, target_bytes: int) -> list[CompactionCandidate]:
    """The days before a day of which at least half of the files can go: so what was compacted once stays as it is."""
    found = []
    for table in COMPACTED:
        delta = delta_log.open_table(*tables.location(table))
        for day, files in sorted(_by_day(delta).items()) if delta else ():
            wanted = max(1, -(-sum(file.bytes for file in files) // target_bytes))
            if day < before and len(files) >= 2 * wanted:
                found.append(CompactionCandidate(table=table, day=day, files=tuple(files), wanted=wanted))
    return found


def compact_day(crowded: CompactionCandidate, tables: TenantTables, make_plan: MakePlan) -> tuple[DataFile, ...]:
    """Rewrite a day in as many files as it needs, one by one; return them.

    Raises:
        Retryable: the day was changed meanwhile; it is as whoever did so left it.
        Terminal: a file of it is missing or broken.
    """
    try:
        files = _rewrite(crowded, tables, make_plan)
    except FileNotFoundError as error:
        day, stored = crowded.day, tables.files_of_day(crowded.table, crowded.day)
        check_complete(crowded.table, tables.live_keys(crowded.table), stored, tenant=tables.tenant, day=day)
        context = delta_log.Context(tenant=tables.tenant, day=day, table=crowded.table)
        raise context.retryable(f"a file of {crowded.table.name} went while it was compacted") from error
    except duckdb.InvalidInputException as error:
        raise TerminalError(
            f"a file of {crowded.table.name} is no whole Parquet file",
            next_step="run its day again",
            tenant=tables.tenant,
            day=crowded.day.isoformat(),
        ) from error
    commit_compaction(crowded, files, tables)
    return files


def _rewrite(crowded: CompactionCandidate, tables: TenantTables, make_plan: MakePlan) -> tuple[DataFile, ...]:
    """New files, which no commit names yet."""
    store, table = tables.open(), crowded.table
    root = f"{tables.folder}/{table.name}"
    written = []
    for number, group in enumerate(divide(crowded)):
        with temporary_folder() as scratch:
            paths = [fetch(store, f"{root}/{file.path}", scratch / f"{n}.parquet") for n, file in enumerate(group)]
            run = next(filter(None, map(read_run, paths)), ("compacted", 0))
            plan = make_plan(crowded.day, *run)
            name = f"compacted-{number:05d}"
            written.append(rewrite_files(paths, table, name=name, plan=plan, output=store, scratch=scratch))
    return tuple(file for file in written if file)


def divide(crowded: CompactionCandidate) -> list[list[LiveFile]]:
    """The files in as many groups as files are wanted, of much the same size; each becomes one file."""
    groups: list[list[LiveFile]] = [[] for _ in range(crowded.wanted)]
    sizes = [0] * crowded.wanted
    for file in sorted(crowded.files, key=lambda file: (-file.bytes, file.path)):
        smallest = sizes.index(min(sizes))
        groups[smallest].append(file)
        sizes[smallest] += file.bytes
    return [group for group in groups if group]


def commit_compaction(crowded: CompactionCandidate, files: Sequence[DataFile], tables: TenantTables) -> int:
    """Name the new files instead of the old ones, in a commit that changes no data; return its version.

    delta-rs 1.6.6 compacts by itself, but does not sort; and what it commits for others says of removed files that
    data changed, so that streams would read a day twice. So the commit is written here, as the protocol has it.

    Raises:
        Retryable: a file of the day is no longer what it was.
    """
    store = tables.open()
    log = f"{tables.folder}/{crowded.table.name}/_delta_log"
    context = delta_log.Context(tenant=tables.tenant, day=crowded.day, table=crowded.table)
    location, options = tables.location(crowded.table)
    body = _render(crowded, files)
    for attempt in range(MAX_COMMIT_ATTEMPTS):
        delta = DeltaTable(location, storage_options=dict(options))
        live = {file.path for file in _by_day(delta).get(crowded.day, ())}
        if live == {file.path for file in files}:
            return delta.version()  # a commit of ours whose answer was lost
        if live != {file.path for file in crowded.files}:
            if not attempt:  # nothing was committed, so nobody names them: what an erasure took must not stay in them
                delete_keys(store, (f"{tables.folder}/{crowded.table.name}/{file.path}" for file in files))
            raise context.retryable(f"the files of {crowded.table.name} changed while they were compacted")
        delta_log.check_table(delta, context)
        version = delta.version() + 1
        try:
            store.put(f"{log}/{version:020d}.json", body, mode="create")
        except AlreadyExistsError:
            continue
        return version
    raise context.retryable(f"{crowded.table.name} is committed to faster than it can be compacted")


def _by_day(delta: DeltaTable) -> dict[date, list[LiveFile]]:
    adds = delta.get_add_actions(flatten=True)
    columns = (adds[name].to_pylist() for name in ("path", "size_bytes", f"partition.{delta_log.PARTITION}"))
    found: dict[date, list[LiveFile]] = {}
    for path, size, day in sorted(zip(*columns, strict=True)):
        found.setdefault(day, []).append(LiveFile(path=path, bytes=size))
    return found


def _render(crowded: CompactionCandidate, files: Sequence[DataFile]) -> bytes:
    now = time.time_ns() // 1_000_000
    values = {delta_log.PARTITION: crowded.day.isoformat()}
    told = {
        "timestamp": now,
        "operation": "OPTIMIZE",
        "operationParameters": {"predicate": f"{delta_log.PARTITION} = '{crowded.day}'"},
        "engineInfo": "makoto-daily-batch",
        "isBlindAppend": False,
    }
    actions: list[dict[str, object]] = [{"commitInfo": told}]
    for file in files:
        add = {"path": file.path, "partitionValues": values, "size": file.bytes, "modificationTime": now}
        actions.append({"add": {**add, "dataChange": False, "stats": statistics_json(file)}})
    for old in crowded.files:
        remove = {"path": old.path, "deletionTimestamp": now, "dataChange": False, "extendedFileMetadata": True}
        actions.append({"remove": {**remove, "partitionValues": values, "size": old.bytes}})
    return "".join(json.dumps(action, ensure_ascii=False) + "\n" for action in actions).encode()

"""What is left of a day without a person's rows: new files of every table, and the note in the run's receipt."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from daily_batch.domain.contract import MESSAGES, REJECTS, SUMMARY_DAILY, Table
from daily_batch.domain.receipt import receipt_key
from daily_batch.domain.request import Request
from daily_batch.domain.run import DataFile
from daily_batch.maintenance.rewrite_files import (
    MakePlan,
    count_again,
    count_rows,
    extract_counted,
    plan_upkeep,
    read_run,
    rewrite_files,
)
from daily_batch.maintenance.subject import Person
from daily_batch.maintenance.table_files import StoredFile, TenantTables, check_complete, fetch, is_live
from daily_batch.settings import Settings
from daily_batch.storage.scratch import folder_within, temporary_folder

# Removes a person's rows from a day of the Delta table of messages, and returns the version of its commit.
DeleteRows = Callable[[Person, date], int]
# What does so for messages of a size in bytes; None where they are rewritten here.
FindDeleter = Callable[[int], DeleteRows | None]


def delete_here(size: int) -> None:
    """The deleter of a process without Spark."""


@dataclass(frozen=True, kw_only=True)
class Remaining:
    """A day's files without a person's rows, to be published, the messages that are left, and the runs that wrote them.

    A table that is done already is not in `files`, but in `versions`.
    """

    files: Mapping[str, tuple[DataFile, ...]]
    messages: int
    runs: tuple[str, ...]
    versions: Mapping[str, int | None] = field(default_factory=dict)


def rewrite_day(
    request: Request,
    person: Person,
    *,
    tables: TenantTables,
    settings: Settings,
    find_deleter: FindDeleter,
) -> Remaining:
    """Write the rows of every table of the day that stay to new files, which no commit names yet.

    Args:
        find_deleter: names what removes rows of so large messages from the table itself; asked for Delta only.
    """
    make_plan = plan_upkeep(settings, tenant=request.tenant, table_format=request.table_format)
    rewriting = _Rewriting(request, person, tables, settings, make_plan)
    live = {table: rewriting.live_files(table) for table in (MESSAGES, REJECTS, SUMMARY_DAILY)}
    with temporary_folder() as scratch:
        runs = {table: rewriting.find_run(files, scratch) for table, files in live.items()}
        known = [run for run in (runs[MESSAGES], runs[SUMMARY_DAILY], runs[REJECTS]) if run]
        if not known:
            return Remaining(files={}, messages=0, runs=())
        rejects, _ = rewriting.rewrite(REJECTS, live[REJECTS], runs[REJECTS] or known[0], scratch)
        delta = request.table_format == "delta"
        delete_rows = find_deleter(sum(file.bytes for file in live[MESSAGES])) if delta else None
        versions: dict[str, int | None] = {}
        files = {REJECTS.name: rejects}
        if delete_rows:
            versions = {MESSAGES.name: delete_rows(person, request.day)}
            counted = rewriting.count(rewriting.live_files(MESSAGES), known[0], scratch)
        else:
            files[MESSAGES.name], counted = rewriting.rewrite(MESSAGES, live[MESSAGES], known[0], scratch)
        plan = make_plan(request.day, *known[0])
        files |= count_again(counted, plan=plan, output=tables.open(), scratch=scratch)
        messages = count_rows(counted)
    return Remaining(
        files=files, messages=messages, runs=tuple(dict.fromkeys(run for run, _ in known)), versions=versions
    )


@dataclass(frozen=True)
class _Rewriting:
    request: Request
    person: Person
    tables: TenantTables
    settings: Settings
    make_plan: MakePlan

    def live_files(self, table: Table) -> list[StoredFile]:
        """The files that readers see of the day.

        Raises:
            Terminal: a file that the log names is not there.
        """
        live = self.tables.live_keys(table)
        stored = self.tables.files_of_day(table, self.request.day)
        mine = [file for file in stored if file.table_format == self.request.table_format and is_live(file, live)]
        if self.request.table_format == "delta":
            check_complete(table, live, stored, tenant=self.tables.tenant, day=self.request.day)
        return sorted(mine, key=lambda file: file.key)

    def find_run(self, files: Sequence[StoredFile], scratch: Path) -> tuple[str, int] | None:
        """The run that wrote the rows; a day is of one run."""
        for file in files:
            path = fetch(self.tables.open(), file.key, scratch / "looked-at.parquet")
            run = read_run(path)
            path.unlink()
            if run:
                return run
        return None

    def rewrite(
        self, table: Table, files: Sequence[StoredFile], run: tuple[str, int], scratch: Path
    ) -> tuple[tuple[DataFile, ...], list[Path]]:
        """New files, and, of messages, what the aggregates need of them."""
        written: list[DataFile] = []
        counted: list[Path] = []
        for number, (group, folder) in enumerate(self._fetched(files, scratch)):
            narrow = scratch / f"counted-{number}.parquet" if table is MESSAGES else None
            file = rewrite_files(
                group,
                table,
                name=f"kept-{number:05d}",
                plan=self.make_plan(self.request.day, *run),
                output=self.tables.open(),
                scratch=folder,
                without=self.person,
                counted=narrow,
            )
            written += [file] if file else []
            counted += [narrow] if narrow else []
        return tuple(written), counted

    def count(self, files: Sequence[StoredFile], run: tuple[str, int], scratch: Path) -> list[Path]:
        """What the aggregates need of messages that stay as they are."""
        counted: list[Path] = []
        for number, (group, _) in enumerate(self._fetched(files, scratch, together=1)):
            counted.append(scratch / f"counted-{number}.parquet")
            extract_counted(group[0], counted[-1], plan=self.make_plan(self.request.day, *run))
        return counted

    def _fetched(
        self, files: Sequence[StoredFile], scratch: Path, *, together: int | None = None
    ) -> Iterator[tuple[list[Path], Path]]:
        """Copies of the files, as many at once as become one; each group is gone when the next comes."""
        target = together or self.settings.target_file_bytes
        groups: list[list[StoredFile]] = [[]]
        for file in files:
            if groups[-1] and sum(each.bytes for each in groups[-1]) + file.bytes > target:
                groups.append([])
            groups[-1].append(file)
        for group in filter(None, groups):
            with folder_within(scratch) as place:
                store = self.tables.open()
                yield [fetch(store, file.key, place / f"{n}.parquet") for n, file in enumerate(group)], place


def note_receipt(tables: TenantTables, day: date, run_id: str, *, erasure: str, removed: Mapping[str, int]) -> None:
    """Say in a run's receipt that its tables hold less now; its counts stay those of the run. No receipt, no note."""
    store, key = tables.open(), receipt_key(tables.tenant, day, run_id)
    try:
        receipt = json.loads(bytes(store.get(key).bytes()))
    except FileNotFoundError:
        return
    notes = [note for note in receipt.get("erased", ()) if note["erasure"] != erasure]
    receipt["erased"] = [*notes, {"erasure": erasure, "rows": dict(removed)}]
    store.put(key, json.dumps(receipt, indent=2, ensure_ascii=False).encode())

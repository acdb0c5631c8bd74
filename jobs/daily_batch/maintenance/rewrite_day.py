"""Rewrite a day without a subject's rows: new files of every table, and a note in the receipt of the run."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from daily_batch.domain.contract import MESSAGES, REJECTS, SUMMARY_DAILY, Table
from daily_batch.domain.receipt import receipt_key, to_line
from daily_batch.domain.request import Request
from daily_batch.domain.run import DataFile
from daily_batch.maintenance.rewrite_files import (
    MakeSpec,
    count_rows,
    make_spec_factory,
    project_messages,
    read_run,
    recompute_aggregates,
    rewrite_files,
)
from daily_batch.maintenance.subject import Subject
from daily_batch.maintenance.table_files import TableFile, TenantTables, check_complete, download, is_live
from daily_batch.settings import Settings
from daily_batch.storage.scratch import folder_within, temporary_folder

# Deletes a subject's rows from a day of the Delta table `messages`, and returns the version of the commit.
DeleteRows = Callable[[Subject, date], int]
# Takes the bytes of the day's messages; returns None where they are rewritten in this process.
ChooseDeleter = Callable[[int], DeleteRows | None]


def no_deleter(size: int) -> None:
    """Choose no deleter, as a process without Spark must."""


@dataclass(frozen=True, kw_only=True)
class RewrittenDay:
    """A day's files without a subject's rows, to be published.

    `messages` counts those that remain, `runs` are the runs that wrote the rows. A table that is committed already is
    in `versions` instead of `files`.
    """

    files: Mapping[str, tuple[DataFile, ...]]
    messages: int
    runs: tuple[str, ...]
    versions: Mapping[str, int | None] = field(default_factory=dict)


def rewrite_day(
    request: Request,
    subject: Subject,
    *,
    tables: TenantTables,
    settings: Settings,
    choose_deleter: ChooseDeleter,
) -> RewrittenDay:
    """Write the remaining rows of every table of the day to new files, which no commit names yet.

    Args:
        choose_deleter: returns what deletes the rows of large messages from the table itself; called for Delta only.
    """
    make_spec = make_spec_factory(settings, tenant=request.tenant, table_format=request.table_format)
    rewriter = _Rewriter(request, subject, tables, settings, make_spec)
    live = {table: rewriter.live_files(table) for table in (MESSAGES, REJECTS, SUMMARY_DAILY)}
    with temporary_folder() as scratch:
        runs = {table: rewriter.find_run(files, scratch) for table, files in live.items()}
        known = [run for run in (runs[MESSAGES], runs[SUMMARY_DAILY], runs[REJECTS]) if run]
        if not known:
            return RewrittenDay(files={}, messages=0, runs=())
        rejects, _ = rewriter.rewrite(REJECTS, live[REJECTS], runs[REJECTS] or known[0], scratch)
        delta = request.table_format == "delta"
        delete_rows = choose_deleter(sum(file.bytes for file in live[MESSAGES])) if delta else None
        versions: dict[str, int | None] = {}
        files = {REJECTS.name: rejects}
        if delete_rows:
            versions = {MESSAGES.name: delete_rows(subject, request.day)}
            projections = rewriter.project(rewriter.live_files(MESSAGES), known[0], scratch)
        else:
            files[MESSAGES.name], projections = rewriter.rewrite(MESSAGES, live[MESSAGES], known[0], scratch)
        spec = make_spec(request.day, *known[0])
        files |= recompute_aggregates(projections, spec=spec, output=tables.open(), scratch=scratch)
        messages = count_rows(projections)
    return RewrittenDay(
        files=files, messages=messages, runs=tuple(dict.fromkeys(run for run, _ in known)), versions=versions
    )


@dataclass(frozen=True)
class _Rewriter:
    request: Request
    subject: Subject
    tables: TenantTables
    settings: Settings
    make_spec: MakeSpec

    def live_files(self, table: Table) -> list[TableFile]:
        """Return the day's files that readers see.

        Raises:
            TerminalError: a file that the log names is missing.
        """
        live = self.tables.live_keys(table)
        files = self.tables.files_of_day(table, self.request.day)
        visible = [file for file in files if file.table_format == self.request.table_format and is_live(file, live)]
        if self.request.table_format == "delta":
            check_complete(table, live, files, tenant=self.tables.tenant, day=self.request.day)
        return sorted(visible, key=lambda file: file.key)

    def find_run(self, files: Sequence[TableFile], scratch: Path) -> tuple[str, int] | None:
        """Return the id and start of the run that wrote the rows, as `read_run` does; a day has one run."""
        for file in files:
            path = download(self.tables.open(), file.key, scratch / "probe.parquet")
            run = read_run(path)
            path.unlink()
            if run:
                return run
        return None

    def rewrite(
        self, table: Table, files: Sequence[TableFile], run: tuple[str, int], scratch: Path
    ) -> tuple[tuple[DataFile, ...], list[Path]]:
        """Return the new files and, for messages, projections with the columns that the aggregates need."""
        written: list[DataFile] = []
        projections: list[Path] = []
        for number, (group, folder) in enumerate(self._downloaded(files, scratch)):
            projection = scratch / f"projection-{number}.parquet" if table is MESSAGES else None
            file = rewrite_files(
                group,
                table,
                name=f"kept-{number:05d}",
                spec=self.make_spec(self.request.day, *run),
                output=self.tables.open(),
                scratch=folder,
                exclude=self.subject,
                projection=projection,
            )
            written += [file] if file else []
            projections += [projection] if projection else []
        return tuple(written), projections

    def project(self, files: Sequence[TableFile], run: tuple[str, int], scratch: Path) -> list[Path]:
        """Return projections of messages that are not rewritten."""
        projections: list[Path] = []
        for number, (group, _) in enumerate(self._downloaded(files, scratch, group_bytes=1)):
            projections.append(scratch / f"projection-{number}.parquet")
            project_messages(group[0], projections[-1], spec=self.make_spec(self.request.day, *run))
        return projections

    def _downloaded(
        self, files: Sequence[TableFile], scratch: Path, *, group_bytes: int | None = None
    ) -> Iterator[tuple[list[Path], Path]]:
        """Yield local copies in groups of one target file, and their folder; a group is deleted before the next."""
        target = group_bytes or self.settings.target_file_bytes
        groups: list[list[TableFile]] = [[]]
        for file in files:
            if groups[-1] and sum(each.bytes for each in groups[-1]) + file.bytes > target:
                groups.append([])
            groups[-1].append(file)
        for group in filter(None, groups):
            with folder_within(scratch) as folder:
                store = self.tables.open()
                yield [download(store, file.key, folder / f"{n}.parquet") for n, file in enumerate(group)], folder


def annotate_receipt(
    tables: TenantTables, day: date, run_id: str, subject: Subject, *, erasure: str, removed: Mapping[str, int]
) -> None:
    """Note in a run's receipt, if it exists, that its tables hold fewer rows now; its counts stay those of the run.

    A field of a message that has an erased id as its name is counted among the others.
    """
    store, key = tables.open(), receipt_key(tables.tenant, day, run_id)
    try:
        receipt = json.loads(bytes(store.get(key).bytes()))
    except FileNotFoundError:
        return
    notes = [note for note in receipt.get("erased", ()) if note["erasure"] != erasure]
    fields = receipt.get("unknown_fields", {})
    receipt["other_unknown_fields"] = receipt.get("other_unknown_fields", 0) + sum(
        fields.pop(name) for name in set(fields) & set(subject.ids)
    )
    receipt["erased"] = [*notes, {"erasure": erasure, "rows": dict(removed)}]
    store.put(key, to_line(receipt).encode())

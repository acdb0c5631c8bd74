"""Erase users or rooms from every table of a tenant and from every readable version.

First the ids go to the list that every later run honours, so that no run can undo the erasure.
Each day is processed under its lease: rewritten without the subject's rows, its aggregates recomputed, its old files
deleted. Then the history of the Delta tables is truncated. After a crash at any point, the same command resumes: the
evidence in progress names the unfinished days.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import PurePosixPath

from daily_batch.domain.calendar import FIRST_DAY, LAST_DAY
from daily_batch.domain.contract import MESSAGES, TABLES
from daily_batch.domain.request import Request
from daily_batch.errors import BatchError, UsageError, error_context
from daily_batch.ledger import Entry, Ledger
from daily_batch.ledger.heartbeat import Heartbeat
from daily_batch.maintenance.evidence import (
    ErasedDay,
    ErasedTable,
    Evidence,
    find_unfinished,
    list_entry,
    save_evidence,
    start_evidence,
    with_day,
)
from daily_batch.maintenance.find_rows import check_manifests, search_tables
from daily_batch.maintenance.interrupted_writes import find_interrupted
from daily_batch.maintenance.rewrite_day import ChooseDeleter, RewrittenDay, annotate_receipt, no_deleter, rewrite_day
from daily_batch.maintenance.subject import Subject
from daily_batch.maintenance.table_files import TenantTables, delete_keys, is_live
from daily_batch.maintenance.truncate_history import truncate_history
from daily_batch.maintenance.vacuum import MIN_RETAIN_HOURS
from daily_batch.pipeline.erased_list import add_to_list, make_key
from daily_batch.pipeline.publish.publisher import DayPublisher
from daily_batch.pipeline.publish.result import PublishResult
from daily_batch.pipeline.runners.base import Progress
from daily_batch.settings import Settings

NOTHING_TO_REWRITE = RewrittenDay(files={}, messages=0, runs=())
REDACTED_ERROR = "this error named the erased id and was removed"


@dataclass(frozen=True, kw_only=True)
class Erasure:
    """The erasure of a subject from the tables of a request's tenant; the request's day and format are not used.

    `choose_deleter` returns what deletes a large day's messages on a cluster. `by` is who requested the erasure, for
    the evidence.
    """

    subject: Subject
    request: Request
    settings: Settings
    tables: TenantTables
    ledger: Ledger
    owner: str
    by: str
    progress: Progress
    choose_deleter: ChooseDeleter = no_deleter

    def plan(self) -> Evidence:
        """Return what would be erased; change nothing.

        Raises:
            LeaseHeldError: a run holds a day of the tenant and may have read rows of the subject.
            UsageError: the tenant has no tables here, or an unfinished erasure of the same id has another setting of
                mentions.
        """
        evidence = find_unfinished(self.tables.open(), self.subject)
        if evidence is None:
            self._check_tables()
            evidence = start_evidence(self.subject, now=self.ledger.clock(), by=self.by)
        self._check_no_run()
        check_manifests(self.subject, tables=self.tables, now=self.ledger.clock())
        days, mentions = search_tables(self.subject, tables=self.tables, settings=self.settings, progress=self.progress)
        for (day, table_format), hits_of_day in days.items():
            planned = ErasedDay(
                date=day,
                format=table_format,
                tables={
                    name: ErasedTable(removed=hits.rows, doubtful=hits.doubtful)
                    for name, hits in hits_of_day.visible.items()
                },
                old_files=hits_of_day.old_files,
            )
            evidence = with_day(evidence, _merge(evidence, planned))
        for unfinished in _unfinished(evidence):
            self.ledger.check_available(self.request.tenant, unfinished.date)
        return replace(evidence, mentions=mentions)

    def run(self) -> Evidence:
        """Erase, and return the evidence as saved beside the tables.

        Raises:
            LeaseHeldError: a run holds one of the days; the days before it are done, as the evidence says.
            RetryableError: the storage failed, or another commit came first; the same command resumes.
        """
        store, known, evidence = self.tables.open(), self._tokens(), self.plan()
        key = make_key(store, self.request.tenant)
        add_to_list(store, self.request.tenant, list_entry(self.subject, evidence, key=key))
        save_evidence(store, evidence)
        # A run that began before the ids were listed may not know of them, and may have published since the search.
        listed = datetime.now(UTC)
        self._check_no_run()
        for write in find_interrupted(self.tables, before=listed):
            write.path.unlink(missing_ok=True)
        if self._tokens() != known:
            evidence = self.plan()
            save_evidence(store, evidence)
        for planned in _unfinished(evidence):
            with error_context(self.request.tenant, planned.date.isoformat()):
                done = self._erase_day(planned, evidence.erasure)
            evidence = with_day(evidence, done)
            save_evidence(store, evidence)
        self._redact_entries(evidence.erasure)
        self._delete_manifests()
        readable: dict[str, int] = {}
        for number, table in enumerate(TABLES, 1):
            first = truncate_history(self.tables, table, erasure=evidence.erasure)
            readable |= {} if first is None else {table.name: first}
            self.progress("history", number, len(TABLES), "tables")
        ended = self.ledger.clock().isoformat(timespec="seconds")
        evidence = replace(evidence, state="done", ended=ended, readable_from=readable)
        save_evidence(store, evidence)
        return evidence

    def _erase_day(self, planned: ErasedDay, erasure: str) -> ErasedDay:
        request = replace(self.request, day=planned.date, table_format=planned.format)
        before = self.ledger.find(request.tenant, request.day)
        with self._hold(request, erasure) as heartbeat:
            rewritten, published = NOTHING_TO_REWRITE, dict[str, PublishResult]()
            if self._has_table(request):
                rewritten, published = self._republish(request, heartbeat, erasure)
            old = self._delete_old(request, heartbeat)
            removed = {name: table.removed for name, table in planned.tables.items() if table.removed}
            for run in rewritten.runs:
                annotate_receipt(self.tables, request.day, run, self.subject, erasure=erasure, removed=removed)
            self.ledger.release(heartbeat.lease, **self._entry_changes(before, rewritten))
        versions = {**{name: table.version for name, table in published.items()}, **rewritten.versions}
        rows = {name: table.rows for name, table in published.items()} | {MESSAGES.name: rewritten.messages}
        return replace(
            planned,
            state="done",
            token=heartbeat.lease.token,
            runs=rewritten.runs,
            old_files=old,
            tables={
                table.name: replace(
                    planned.tables.get(table.name, ErasedTable(removed=0)),
                    remaining=rows.get(table.name),
                    version=versions.get(table.name),
                )
                for table in TABLES
            },
        )

    def _republish(
        self, request: Request, heartbeat: Heartbeat, erasure: str
    ) -> tuple[RewrittenDay, dict[str, PublishResult]]:
        """Publish the day without the subject's rows."""
        snapshot = DayPublisher.snapshot(request, self.tables.storage)
        heartbeat.raise_token(above=snapshot.held_token)
        # At once: a run that is suspended, not dead, must not publish what it read before.
        publisher = snapshot.fenced(heartbeat.lease.token, write_now=True, confirm=heartbeat.confirm)
        rewritten = rewrite_day(
            request, self.subject, tables=self.tables, settings=self.settings, choose_deleter=self.choose_deleter
        )
        metadata = {"erasure": erasure}
        published = publisher.publish(rewritten.files, run_id=erasure, metadata=metadata, progress=self.progress)
        return rewritten, published

    def _entry_changes(self, before: Entry | None, rewritten: RewrittenDay) -> dict[str, object]:
        """Return the changes to the ledger entry: its message count, if it describes the run that was rewritten."""
        if before is None or before.message_count is None:
            return {}
        published = PurePosixPath(before.receipt).stem if before.receipt else before.run_id
        return {"message_count": rewritten.messages} if published in rewritten.runs else {}

    def _check_no_run(self) -> None:
        for entry in self._known_days():
            if entry.is_held and entry.upkeep is None:
                self.ledger.check_available(entry.tenant, entry.day)

    def _tokens(self) -> dict[date, int]:
        return {entry.day: entry.token for entry in self._known_days()}

    def _known_days(self) -> Iterator[Entry]:
        return self.ledger.days(self.request.tenant, FIRST_DAY, LAST_DAY)

    def _check_tables(self) -> None:
        if not any(next(self.tables.files(table), None) for table in TABLES):
            raise UsageError(
                f"this tenant has no table in {self.request.output}",
                next_step="check the tenant and the output",
                tenant=self.request.tenant,
            )

    def _has_table(self, request: Request) -> bool:
        """Return whether an older run could still commit to the table; publishing plain Parquet creates no log."""
        if request.table_format == "parquet":
            return True
        return self.tables.follow(MESSAGES) is not None

    def _redact_entries(self, erasure: str) -> None:
        """Take the ids out of the ledger: errors may quote an object's key, fields may have one as name."""
        for entry in list(self._known_days()):
            changes: dict[str, object] = {}
            if entry.error and self.subject.is_named_in(entry.error):
                changes["error"] = REDACTED_ERROR
            for attribute in ("unknown_fields", "new_fields"):
                names = getattr(entry, attribute) or ()
                if not set(names).isdisjoint(self.subject.ids):
                    changes[attribute] = tuple(name for name in names if name not in self.subject.ids)
            if changes:
                with self._hold(replace(self.request, day=entry.day), erasure) as heartbeat:
                    self.ledger.release(heartbeat.lease, **changes)

    @contextmanager
    def _hold(self, request: Request, erasure: str) -> Iterator[Heartbeat]:
        """Hold the day's lease; release it on an error as well."""
        lease = self.ledger.hold(request.tenant, request.day, owner=self.owner, upkeep=erasure)
        with Heartbeat(self.ledger, lease) as heartbeat:
            try:
                yield heartbeat
            except BaseException:
                with suppress(BatchError):
                    self.ledger.release(heartbeat.lease)
                raise

    def _delete_old(self, request: Request, heartbeat: Heartbeat) -> int:
        """Delete the day's files that readers do not see, of all tables and also of runs that lost their lease."""
        keys = []
        for table in TABLES:
            live = self.tables.live_keys(table)
            for file in self.tables.files_of_day(table, request.day):
                in_scope = file.kind == "staged" or file.table_format == request.table_format
                if in_scope and not is_live(file, live):
                    keys.append(file.key)
        # After the listing: files listed under our lease are not those of a later run that has yet to commit.
        heartbeat.confirm()
        return delete_keys(self.tables.open(), keys)

    def _delete_manifests(self) -> None:
        """Delete the manifests of dead jobs; `check_manifests` has checked those of active jobs."""
        since = self.ledger.clock() - timedelta(hours=MIN_RETAIN_HOURS)
        listed = self.tables.list_under("_staging")
        delete_keys(self.tables.open(), [item["path"] for item in listed if item["last_modified"] < since])


def _unfinished(evidence: Evidence) -> list[ErasedDay]:
    return [day for day in evidence.days if day.state == "planned"]


def _merge(evidence: Evidence, found: ErasedDay) -> ErasedDay:
    """Return the day's plan; after a crash, the earlier plan has the original counts and `found` only what remains."""
    earlier = next((d for d in evidence.days if (d.date, d.format) == (found.date, found.format)), None)
    if earlier is None or earlier.state == "done":
        return found
    names = earlier.tables.keys() | found.tables.keys()
    none = ErasedTable(removed=0)
    tables = {
        name: max(earlier.tables.get(name, none), found.tables.get(name, none), key=lambda table: table.removed)
        for name in sorted(names)
    }
    return replace(earlier, tables=tables)

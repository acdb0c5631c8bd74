"""Erase a user or a room from every table of a tenant, and from every version of them that can be read.

Day by day under the day's lease: rewritten without their rows, the aggregates counted again, old files deleted. Then
the Delta logs begin anew. Killed anywhere, the same command goes on: evidence in progress names the days to finish.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
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
    begin_evidence,
    find_unfinished,
    save_evidence,
    with_day,
)
from daily_batch.maintenance.find_rows import check_manifests, search_tables
from daily_batch.maintenance.rewrite_day import FindDeleter, Remaining, delete_here, note_receipt, rewrite_day
from daily_batch.maintenance.subject import Person
from daily_batch.maintenance.table_files import TenantTables, delete_keys, is_live
from daily_batch.maintenance.truncate_history import truncate_history
from daily_batch.maintenance.vacuum import FLOOR_HOURS
from daily_batch.pipeline.publish import delta_log
from daily_batch.pipeline.publish.publisher import DayPublisher
from daily_batch.pipeline.publish.result import PublishResult
from daily_batch.pipeline.runners.base import Progress
from daily_batch.settings import Settings

NOTHING_LEFT = Remaining(files={}, messages=0, runs=())
FORGOTTEN = "what was said here named what is erased"


@dataclass(frozen=True, kw_only=True)
class Erasure:
    """One person's erasure from the tables of a request's tenant; the request's day and format are not used.

    `find_deleter` names what removes a large day's messages elsewhere. `by` is who asked, for the evidence.
    """

    person: Person
    request: Request
    settings: Settings
    tables: TenantTables
    ledger: Ledger
    owner: str
    by: str
    progress: Progress
    find_deleter: FindDeleter = delete_here

    def look(self) -> Evidence:
        """What would be erased; nothing is changed.

        Raises:
            LeaseHeld: a run is at work on a day of the tenant, which may have read what is to go.
            UsageError: the tenant has no tables here, or an unfinished erasure of the same id means other rows.
        """
        evidence = find_unfinished(self.tables.open(), self.person)
        if evidence is None:
            self._check_tables()
            evidence = begin_evidence(self.person, now=self.ledger.clock(), by=self.by)
        for entry in self._known_days():
            if entry.is_held and entry.upkeep is None:
                self.ledger.check_available(entry.tenant, entry.day)
        check_manifests(self.person, tables=self.tables, now=self.ledger.clock())
        found, mentions = search_tables(self.person, tables=self.tables, settings=self.settings, progress=self.progress)
        for (day, table_format), each in found.items():
            planned = ErasedDay(
                date=day,
                format=table_format,
                tables={
                    name: ErasedTable(removed=hits.rows, doubtful=hits.doubtful) for name, hits in each.seen.items()
                },
                old_files=each.old_files,
            )
            evidence = with_day(evidence, _merge(evidence, planned))
        for unfinished in _unfinished(evidence):
            self.ledger.check_available(self.request.tenant, unfinished.date)
        return replace(evidence, mentions=mentions)

    def run(self) -> Evidence:
        """Erase, and return the evidence as it lies beside the tables then.

        Raises:
            LeaseHeld: a run is at work on one of the days; those before it are done, the evidence says which.
            Retryable: the storage failed, or another run came between; the same command goes on.
        """
        store, evidence = self.tables.open(), self.look()
        save_evidence(store, evidence)
        for planned in _unfinished(evidence):
            with error_context(self.request.tenant, planned.date.isoformat()):
                done = self._erase_day(planned, evidence.erasure)
            evidence = with_day(evidence, done)
            save_evidence(store, evidence)
        self._forget_errors(evidence.erasure)
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
        with self._held(request, erasure) as keeper:
            left, published = NOTHING_LEFT, dict[str, PublishResult]()
            if self._is_there(request):
                left, published = self._republish(request, keeper, erasure)
            old = self._delete_old(request, keeper)
            removed = {name: table.removed for name, table in planned.tables.items() if table.removed}
            for run in left.runs:
                note_receipt(self.tables, request.day, run, erasure=erasure, removed=removed)
            self.ledger.release(keeper.lease, **self._changes(before, left))
        versions = {**{name: table.version for name, table in published.items()}, **left.versions}
        rows = {name: table.rows for name, table in published.items()} | {MESSAGES.name: left.messages}
        return replace(
            planned,
            state="done",
            token=keeper.lease.token,
            runs=left.runs,
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
        self, request: Request, keeper: Heartbeat, erasure: str
    ) -> tuple[Remaining, dict[str, PublishResult]]:
        """The day without the person, as readers see it from now on."""
        observed = DayPublisher.snapshot(request, self.tables.storage)
        keeper.raise_token(above=observed.held_token)
        # At once: a run that is stopped, and not dead, must not publish what it read before.
        publisher = observed.fenced(keeper.lease.token, write_now=True, confirm=keeper.confirm)
        left = rewrite_day(
            request, self.person, tables=self.tables, settings=self.settings, find_deleter=self.find_deleter
        )
        told = {"erasure": erasure}
        return left, publisher.publish(left.files, run_id=erasure, metadata=told, progress=self.progress)

    def _changes(self, before: Entry | None, left: Remaining) -> dict[str, object]:
        """What the ledger's entry must say otherwise: how many messages there are, if these are those that it means."""
        if before is None or before.message_count is None:
            return {}
        published = PurePosixPath(before.receipt).stem if before.receipt else before.run_id
        return {"message_count": left.messages} if published in left.runs else {}

    def _known_days(self) -> Iterator[Entry]:
        return self.ledger.days(self.request.tenant, FIRST_DAY, LAST_DAY)

    def _check_tables(self) -> None:
        if not any(next(self.tables.files(table), None) for table in TABLES):
            raise UsageError(
                f"there is no table of this tenant in {self.request.output}",
                next_step="check the tenant and the output",
                tenant=self.request.tenant,
            )

    def _is_there(self, request: Request) -> bool:
        """Whether there is a table in which an older run could still commit. Plain Parquet makes none by publishing."""
        if request.table_format == "parquet":
            return True
        return delta_log.open_table(*self.tables.location(MESSAGES)) is not None

    def _forget_errors(self, erasure: str) -> None:
        """Replace what the ledger says of failed days where it names the id, as an object's key does."""
        for entry in list(self._known_days()):
            if entry.error and self.person.names(entry.error):
                with self._held(replace(self.request, day=entry.day), erasure) as keeper:
                    self.ledger.release(keeper.lease, error=FORGOTTEN)

    @contextmanager
    def _held(self, request: Request, erasure: str) -> Iterator[Heartbeat]:
        """The day's lease; an error gives it back."""
        lease = self.ledger.hold(request.tenant, request.day, owner=self.owner, upkeep=erasure)
        with Heartbeat(self.ledger, lease) as keeper:
            try:
                yield keeper
            except BaseException:
                with suppress(BatchError):
                    self.ledger.release(keeper.lease)
                raise

    def _delete_old(self, request: Request, keeper: Heartbeat) -> int:
        """Delete the day's files that readers do not see, of all tables; what a run that lost its lease left, too."""
        keys = []
        for table in TABLES:
            live = self.tables.live_keys(table)
            for file in self.tables.files_of_day(table, request.day):
                ours = file.kind == "staged" or file.table_format == request.table_format
                if ours and not is_live(file, live):
                    keys.append(file.key)
        # After the listing: what was there while the lease was ours is no later run's, whose files wait for a commit.
        keeper.confirm()
        return delete_keys(self.tables.open(), keys)

    def _delete_manifests(self) -> None:
        """Delete what dead jobs left; the manifests of those at work do not name the person."""
        since = self.ledger.clock() - timedelta(hours=FLOOR_HOURS)
        listed = self.tables.list_below("_staging")
        delete_keys(self.tables.open(), [item["path"] for item in listed if item["last_modified"] < since])


def _unfinished(evidence: Evidence) -> list[ErasedDay]:
    return [day for day in evidence.days if day.state == "planned"]


def _merge(evidence: Evidence, found: ErasedDay) -> ErasedDay:
    """What was planned before a run was killed says how many rows there were then; what is found now, what is left."""
    known = next((d for d in evidence.days if (d.date, d.format) == (found.date, found.format)), None)
    if known is None or known.state == "done":
        return found
    both = known.tables.keys() | found.tables.keys()
    none = ErasedTable(removed=0)
    tables = {
        name: max(known.tables.get(name, none), found.tables.get(name, none), key=lambda table: table.removed)
        for name in sorted(both)
    }
    return replace(known, tables=tables)

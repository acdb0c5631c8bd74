"""Publish a day's tables, as Delta or Parquet, in an order in which a crash between two tables does no harm."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from daily_batch.domain.contract import MESSAGES, REJECTS, ROOMS_DAILY, SUMMARY_DAILY, TABLES, TURNS, USERS_DAILY, Table
from daily_batch.domain.keys import analytics_folder
from daily_batch.domain.request import Request
from daily_batch.domain.run import DataFile
from daily_batch.pipeline.publish import delta, open_table, parquet
from daily_batch.pipeline.publish.delta_log import OpenDay
from daily_batch.pipeline.publish.result import PublishResult
from daily_batch.storage.stores import Storage, delta_location

# Rejects first, then the messages, then what is derived from them: the next run repairs a crash in between.
ORDER = ((REJECTS,), (MESSAGES,), (TURNS, ROOMS_DAILY, USERS_DAILY, SUMMARY_DAILY))


@dataclass(frozen=True, kw_only=True)
class DayPublisher:
    """Publishes one tenant-day on top of its tables as they were when the run began.

    Attributes:
        request: The tenant-day.
        storage: Where the tables are.
        opened: The day in each open Delta table before the run, by table.
        token: The fencing token for the Delta logs, which must not hold a later one; None: no fencing.
        fenced_early: The token is in the logs already.
        confirm: Called before each step; raises if the lease is lost.
    """

    request: Request
    storage: Storage
    opened: Mapping[str, OpenDay]
    token: int | None = None
    fenced_early: bool = False
    confirm: Callable[[], None] = lambda: None

    @classmethod
    def snapshot(cls, request: Request, storage: Storage) -> "DayPublisher":
        """Return a publisher that detects every change of the tables from now on."""
        if request.table_format == "parquet":
            return cls(request=request, storage=storage, opened={})

        def open_day(table: Table) -> OpenDay:
            location, options = _locate_delta_table(table, request, storage)
            return open_table.open_day(
                table=table, location=location, storage_options=options, day=request.day, tenant=request.tenant
            )

        return cls(request=request, storage=storage, opened=_for_each_table(open_day))

    @property
    def held_token(self) -> int:
        """The day's greatest fencing token in the Delta logs; 0 if there is none."""
        return max((day.snapshot.token for day in self.opened.values()), default=0)

    def fenced(self, token: int, *, write_now: bool, confirm: Callable[[], None]) -> "DayPublisher":
        """Return the same publisher under a fencing token.

        Plain Parquet has no log: only `confirm` keeps a run that lost its lease from publishing.

        Args:
            token: This run's token.
            write_now: Write the token to the logs before any work, because an earlier run may still be running.
            confirm: Called before each step of publishing; raises if the lease is lost.

        Raises:
            LeaseHeldError: A log holds a later token.
        """

        def fence(table: Table) -> OpenDay:
            location, options = _locate_delta_table(table, self.request, self.storage)
            return delta.fence_table(
                table=table,
                location=location,
                storage_options=options,
                day=self.request.day,
                token=token,
                tenant=self.request.tenant,
                opened=self.opened[table.name],
            )

        opened = _for_each_table(fence) if write_now and self.request.table_format == "delta" else self.opened
        return replace(self, opened=opened, token=token, fenced_early=write_now, confirm=confirm)

    def publish(
        self,
        files: Mapping[str, Sequence[DataFile]],
        *,
        run_id: str,
        metadata: Mapping[str, str],
        progress: Callable[[str, int, int, str], None],
    ) -> dict[str, PublishResult]:
        """Publish the files of each table, and return the results by table.

        Args:
            files: The files by table; other tables do not change.
            run_id: The run's id, in each commit's metadata.
            metadata: Further metadata of each commit.
            progress: Called after each table.

        Raises:
            RetryableError: Another run changed the day meanwhile, or the storage failed.
            LeaseHeldError: The lease is lost.
            TerminalError: Access is denied, or a table is not the contract's.
        """

        self.confirm()
        publisher = self._with_all_tables()

        def publish_table(table: Table) -> PublishResult:
            return publisher._publish(table, files[table.name], run_id, metadata)

        results: dict[str, PublishResult] = {}
        with ThreadPoolExecutor(len(TABLES)) as pool:
            for step in ORDER:
                progress("publish", len(results), len(files), "tables")
                self.confirm()
                tables = [table for table in step if table.name in files]
                for table, result in zip(tables, pool.map(publish_table, tables), strict=True):
                    results[table.name] = result
                    progress("publish", len(results), len(files), "tables")
        return results

    def _with_all_tables(self) -> "DayPublisher":
        """Create the missing Delta tables side by side: only the commits have an order."""
        if self.request.table_format == "parquet":
            return self

        def create(table: Table) -> OpenDay:
            location, options = _locate_delta_table(table, self.request, self.storage)
            return open_table.create_missing(
                self.opened[table.name],
                table=table,
                location=location,
                storage_options=options,
                day=self.request.day,
                tenant=self.request.tenant,
            )

        return replace(self, opened=_for_each_table(create))

    def _publish(
        self, table: Table, files: Sequence[DataFile], run_id: str, metadata: Mapping[str, str]
    ) -> PublishResult:
        request, storage = self.request, self.storage
        if request.table_format == "parquet":
            return parquet.publish_day(
                store=storage.open_output(),
                table_folder=f"{analytics_folder(request.tenant)}/{table.name}",
                day=request.day,
                files=files,
                run_id=run_id,
                tenant=request.tenant,
            )
        location, options = _locate_delta_table(table, request, storage)
        return delta.publish_table(
            table=table,
            location=location,
            storage_options=options,
            day=request.day,
            files=files,
            run_id=run_id,
            metadata=metadata,
            tenant=request.tenant,
            token=self.token,
            fenced=self.fenced_early,
            opened=self.opened[table.name],
        )


def _for_each_table(call: Callable[[Table], OpenDay]) -> dict[str, OpenDay]:
    with ThreadPoolExecutor(len(TABLES)) as pool:
        return dict(zip((table.name for table in TABLES), pool.map(call, TABLES), strict=True))


def _locate_delta_table(table: Table, request: Request, storage: Storage) -> tuple[str, Mapping[str, str]]:
    folder = request.output.child(f"{analytics_folder(request.tenant)}/{table.name}")
    return delta_location(folder, storage.options)

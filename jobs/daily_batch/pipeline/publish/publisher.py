"""Publish a day's tables, Delta or Parquet, in the order in which a run that dies between two does no harm."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from daily_batch.domain.contract import MESSAGES, REJECTS, ROOMS_DAILY, SUMMARY_DAILY, TABLES, USERS_DAILY, Table
from daily_batch.domain.keys import analytics_folder
from daily_batch.domain.request import Request
from daily_batch.domain.run import DataFile
from daily_batch.pipeline.publish import delta, parquet
from daily_batch.pipeline.publish.delta_log import DaySnapshot
from daily_batch.pipeline.publish.result import Published
from daily_batch.storage.stores import Storage, delta_location

# Evidence first, then the rows, then what is derived from them: a run that dies between two is repaired by the next.
ORDER = ((REJECTS,), (MESSAGES,), (ROOMS_DAILY, USERS_DAILY, SUMMARY_DAILY))


@dataclass(frozen=True, kw_only=True)
class DayPublisher:
    """Publishes one tenant-day.

    `seen` is what each Delta table held of the day before the run; `token` goes into each Delta log, which refuses a
    lower one, and holds it before any work if `at_once`; `confirm` is called before each step and raises when the lease
    is lost.
    """

    request: Request
    storage: Storage
    seen: Mapping[str, DaySnapshot]
    token: int | None = None
    at_once: bool = False
    confirm: Callable[[], None] = lambda: None

    @classmethod
    def snapshot(cls, request: Request, storage: Storage) -> "DayPublisher":
        """Look at the tables before a run begins, so that another run that comes between is noticed."""
        if request.table_format == "parquet":
            return cls(request=request, storage=storage, seen={})

        def look(table: Table) -> DaySnapshot:
            location, options = _delta_table(table, request, storage)
            return delta.observe_day(
                table=table, location=location, storage_options=options, day=request.day, tenant=request.tenant
            )

        return cls(request=request, storage=storage, seen=_each_table(look))

    @property
    def held_token(self) -> int:
        """The greatest token that any of the logs holds for the day; 0 if none does."""
        return max((seen.token for seen in self.seen.values()), default=0)

    def fenced(self, token: int, *, at_once: bool, confirm: Callable[[], None]) -> "DayPublisher":
        """The same publisher under a token; `at_once` writes it into the logs, because an earlier run may still live.

        Plain Parquet has no log: there `confirm` alone keeps a run that lost its lease from publishing.

        Raises:
            LeaseHeld: a log holds a later token.
        """

        def fence(table: Table) -> DaySnapshot:
            location, options = _delta_table(table, self.request, self.storage)
            day, tenant = self.request.day, self.request.tenant
            return delta.fence_table(
                table=table, location=location, storage_options=options, day=day, token=token, tenant=tenant
            )

        seen = _each_table(fence) if at_once and self.request.table_format == "delta" else self.seen
        return replace(self, seen=seen, token=token, at_once=at_once, confirm=confirm)

    def publish(
        self,
        files: Mapping[str, Sequence[DataFile]],
        *,
        run_id: str,
        metadata: Mapping[str, str],
        progress: Callable[[str, int, int, str], None],
    ) -> dict[str, Published]:
        """Publish each given table's files; `metadata` goes with the run's id into each commit.

        Raises:
            Retryable: another run changed the day meanwhile, or the storage failed.
            LeaseHeld: the lease is lost.
            Terminal: denied, or a table that is not the contract's.
        """

        def publish_table(table: Table) -> Published:
            return self._publish(table, files[table.name], run_id, metadata)

        published: dict[str, Published] = {}
        with ThreadPoolExecutor(len(TABLES)) as pool:
            for step in ORDER:
                self.confirm()
                tables = [table for table in step if table.name in files]
                for table, outcome in zip(tables, pool.map(publish_table, tables), strict=True):
                    published[table.name] = outcome
                    progress(f"published {table.name}", outcome.rows, 0, "rows")
        return published

    def _publish(self, table: Table, files: Sequence[DataFile], run_id: str, metadata: Mapping[str, str]) -> Published:
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
        location, options = _delta_table(table, request, storage)
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
            fenced=self.at_once,
            seen=self.seen[table.name],
        )


def _each_table(look: Callable[[Table], DaySnapshot]) -> dict[str, DaySnapshot]:
    with ThreadPoolExecutor(len(TABLES)) as pool:
        return dict(zip((table.name for table in TABLES), pool.map(look, TABLES), strict=True))


def _delta_table(table: Table, request: Request, storage: Storage) -> tuple[str, Mapping[str, str]]:
    folder = request.output.child(f"{analytics_folder(request.tenant)}/{table.name}")
    return delta_location(folder, storage.options)

"""Open a table once for a run, follow its log until the commit, and create it if it is missing."""

from collections.abc import Mapping
from datetime import date

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from daily_batch.domain.contract import Table
from daily_batch.pipeline.publish import delta_log
from daily_batch.pipeline.publish.commit_retry import commit_with_retry, explain_failure
from daily_batch.pipeline.publish.delta_log import PARTITION, Context, OpenDay
from daily_batch.pipeline.publish.schema import table_schema

# Explicit, because Databricks and newer engines may enable these features on tables that they did not create.
# enableRowTracking=false and enableInCommitTimestamps=false belong here, too, but delta-rs 1.6.6 cannot parse them.
TABLE_PROPERTIES = {
    "delta.enableDeletionVectors": "false",
    "delta.columnMapping.mode": "none",
    "delta.checkpointPolicy": "classic",
    "delta.checkpointInterval": "10",
    "delta.deletedFileRetentionDuration": "interval 7 days",
}


def open_day(
    *, table: Table, location: str, storage_options: Mapping[str, str], day: date, tenant: str = "-"
) -> OpenDay:
    """Open the table, and return its day as it is now. `publish_table` compares it with the day at the commit."""
    context = Context(tenant=tenant, day=day, table=table)
    options = dict(storage_options)
    try:
        delta = delta_log.open_table(location, options)
        return OpenDay(delta_log.snapshot_day(delta, day), delta, options)
    except (DeltaError, OSError) as error:
        raise explain_failure(error, context) from error


def create_missing(
    opened: OpenDay,
    *,
    table: Table,
    location: str,
    storage_options: Mapping[str, str],
    day: date,
    tenant: str = "-",
) -> OpenDay:
    """Create the table if there was none when it was opened; the snapshot of the day stays the same."""
    if opened.delta is not None:
        return opened
    options = dict(storage_options)

    def create() -> OpenDay:
        return OpenDay(opened.snapshot, create_table(table, location, options), options)

    return commit_with_retry(create, Context(tenant=tenant, day=day, table=table))


class TableFollower:
    """Returns a table at its latest version, and creates it if it is missing.

    The first call uses the open table, unless its credentials have been renewed since. An attempt that failed may have
    left it behind its log, so each later call opens the table again.
    """

    def __init__(self, opened: OpenDay, table: Table, location: str, storage_options: Mapping[str, str]) -> None:
        self._at_hand, self.options = opened.delta, opened.options
        self._table, self._location, self._storage_options = table, location, storage_options

    def __call__(self) -> DeltaTable:
        """Return the table."""
        at_hand, self._at_hand = self._at_hand, None
        options = dict(self._storage_options)
        delta = delta_log.follow_table(at_hand, self.options, self._location, options)
        self.options = options
        return delta or create_table(self._table, self._location, options)


def create_table(table: Table, location: str, storage_options: Mapping[str, str]) -> DeltaTable:
    """Create the table, or open it if another run created it first."""
    return DeltaTable.create(
        location,
        table_schema(table),
        mode="ignore",
        partition_by=PARTITION,
        description=table.doc,
        configuration={**TABLE_PROPERTIES, "delta.dataSkippingStatsColumns": ",".join(table.statistics)},
        storage_options=dict(storage_options),
    )

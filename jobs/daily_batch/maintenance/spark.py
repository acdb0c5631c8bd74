"""Maintenance by delta-spark, for tables too large for one machine: same rows, same protocol, same bounds.

It uses the DataFrame API and SQL only, so that the same code runs on Spark Connect and Databricks serverless.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from daily_batch.domain.contract import MESSAGES, Table
from daily_batch.errors import BatchError, RetryableError, cleaned_up
from daily_batch.maintenance.compaction import CompactionCandidate
from daily_batch.maintenance.rewrite_files import SORT_ORDERS
from daily_batch.maintenance.subject import TEXT_COLUMNS, Subject
from daily_batch.maintenance.table_files import TableFile, TenantTables, is_live
from daily_batch.maintenance.vacuum import Retention, VacuumResult, clean_log, expired_days
from daily_batch.pipeline.publish import delta_log
from daily_batch.storage.stores import spark_path

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PARQUET_CONF = {
    # Spark's default is INT96, which other readers take for another type than that of the other files.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    # Spark's default, snappy, took messages to more than twice the size. A DELETE has no option for it.
    "spark.sql.parquet.compression.codec": "zstd",
}
# `Retention` has its own minimum. A vacuum has as many tasks as the parallelism of listing, 10,000 by default: an empty
# table took 34 seconds with those and takes 4 with 32.
VACUUM_CONF = {
    "spark.databricks.delta.retentionDurationCheck.enabled": "false",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "32",
}


@dataclass(frozen=True)
class SparkMaintenance:
    """Maintains a tenant's Delta tables on the cluster of a Spark session."""

    spark: "SparkSession" = field(repr=False)
    tables: TenantTables

    def compact_day(self, candidate: CompactionCandidate) -> None:
        """Compact a day as `compaction.compact_day` does: whole rooms per file, sorted, `dataChange` false.

        Raises:
            RetryableError: the day changed meanwhile.
        """
        from pyspark.sql.functions import col, lit

        path = self._path(candidate.table)
        order = SORT_ORDERS[candidate.table].split(", ")
        rows = self.spark.read.format("delta").load(path).where(col(delta_log.PARTITION) == lit(candidate.day))
        sorted_rows = rows.repartitionByRange(candidate.target_files, order[0]).sortWithinPartitions(*order)
        # The codec again: Databricks serverless refuses the setting.
        options = {
            "replaceWhere": f"{delta_log.PARTITION} = '{candidate.day}'",
            "dataChange": "false",
            "compression": "zstd",
        }
        with _translate_errors(candidate.table, candidate.day), self._configured(PARQUET_CONF):
            sorted_rows.write.format("delta").mode("overwrite").options(**options).save(path)

    def delete_rows(self, subject: Subject, day: date) -> int:
        """Delete a subject's messages of a day, and return the version of the commit; a `rewrite_day.DeleteRows`.

        Raises:
            RetryableError: the day changed meanwhile.
        """
        table = f"delta.`{self._path(MESSAGES)}`"
        with _translate_errors(MESSAGES, day), self._configured(PARQUET_CONF):
            # By SQL and not Delta's Python package, which a cluster may not have.
            self.spark.sql(f"DELETE FROM {table} WHERE {delta_log.PARTITION} = '{day}' AND {_condition(subject)}")
            return int(self.spark.sql(f"DESCRIBE HISTORY {table} LIMIT 1").collect()[0]["version"])

    def vacuum_table(self, table: Table, retention: Retention, *, dry_run: bool) -> VacuumResult:
        """Vacuum a table as `vacuum.vacuum_table` does; its folder must hold no plain Parquet day."""
        days = expired_days(self.tables, table, retention)
        removed = (
            list(self._unneeded(table, retention)) if dry_run else self._vacuum(table, retention, expire=bool(days))
        )
        return VacuumResult(
            table=table.name,
            days=len(days),
            files=len(removed),
            bytes=sum(file.bytes for file in removed),
            log_files=clean_log(self.tables, table, dry_run=dry_run),
        )

    def _vacuum(self, table: Table, retention: Retention, *, expire: bool) -> list[TableFile]:
        path = self._path(table)
        before = [file for file in self.tables.files(table) if file.kind == "data"]
        with _translate_errors(table, None), self._configured(VACUUM_CONF):
            if expire:
                self.spark.sql(f"DELETE FROM delta.`{path}` WHERE {delta_log.PARTITION} < '{retention.keep_from}'")
            self.spark.sql(f"VACUUM delta.`{path}` RETAIN {retention.retain_hours} HOURS").collect()
        remaining = {file.key for file in self.tables.files(table)}
        return [file for file in before if file.key not in remaining]

    def _unneeded(self, table: Table, retention: Retention) -> Iterator[TableFile]:
        live = self.tables.live_keys(table)
        for file in self.tables.files(table):
            if file.kind == "data" and not is_live(file, live) and file.modified < retention.cutoff:
                yield file

    @contextmanager
    def _configured(self, conf: Mapping[str, str]) -> Iterator[None]:
        """Apply settings and restore them afterwards; Databricks serverless refuses most, which is ignored."""
        before: dict[str, str | None] = {}
        for name, value in conf.items():
            with suppress(Exception):
                previous = self.spark.conf.get(name, None)
                self.spark.conf.set(name, value)
                before[name] = previous
        with cleaned_up(lambda: self._restore(before)):
            yield

    def _restore(self, conf: Mapping[str, str | None]) -> None:
        for name, value in conf.items():
            if value is None:
                self.spark.conf.unset(name)
            else:
                self.spark.conf.set(name, value)

    def _path(self, table: Table) -> str:
        return spark_path(self.tables.url(table))


def _condition(subject: Subject) -> str:
    """Return `Subject.condition` of messages in Spark's SQL dialect."""
    own = f"IN ({', '.join(map(_quote, sorted(subject.ids)))})"
    owned = [
        f"{subject.kind}_id {own}",
        f"(split_part(source_key, '/', 2) = 'chat' AND split_part(source_key, '/', {subject.key_index + 1}) {own})",
        *(f"get_json_object(extras, '$.{name}') {own}" for name in subject.conflict_fields),
    ]
    if subject.mentions:
        texts = (name if kind == "VARCHAR" else f"to_json({name})" for name, kind in TEXT_COLUMNS.items())
        owned.append(f"concat_ws(char(10), {', '.join(texts)}) RLIKE {_quote(subject.pattern)}")
    return f"({' OR '.join(f'coalesce({each}, false)' for each in owned)})"


def _quote(text: str) -> str:
    """Return any text as SQL by its bytes; from Spark 4.1 on, Delta's parser leaves parameters unbound."""
    return f"CAST(X'{text.encode('utf-8', 'surrogatepass').hex()}' AS STRING)"


@contextmanager
def _translate_errors(table: Table, day: date | None) -> Iterator[None]:
    try:
        yield
    except BatchError:
        raise
    except Exception as error:
        # Spark's message may be pages long; its error condition or class says what is wrong.
        condition = getattr(error, "getCondition", lambda: None)() or type(error).__name__
        raise RetryableError(
            f"{table.name} could not be changed on Spark ({condition})",
            next_step="run the same command again",
            day=day.isoformat() if day else "-",
        ) from error

"""The same upkeep by delta-spark, for tables that are too large for one machine: same rows, same protocol, same bounds.

Only the DataFrame API and SQL are used, so that Spark Connect and Databricks serverless take the same code.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from daily_batch.domain.contract import MESSAGES, Table
from daily_batch.errors import BatchError, RetryableError
from daily_batch.maintenance.compaction import CompactionCandidate
from daily_batch.maintenance.rewrite_files import ORDERS
from daily_batch.maintenance.subject import TEXTS, Person
from daily_batch.maintenance.table_files import StoredFile, TenantTables, is_live
from daily_batch.maintenance.vacuum import Rules, Swept, expired_days, trim_log
from daily_batch.pipeline.publish import delta_log
from daily_batch.storage.stores import spark_path

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Spark's own default is INT96, which other readers take for another type than that of the files beside it.
AS_OTHERS_WRITE = {"spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS"}
# `Rules` has a floor of its own. And a vacuum is cut into as many tasks as folders may be listed at once, 10,000 by
# default: of an empty table that took 34 seconds here, and so 4.
VACUUM_CONF = {
    "spark.databricks.delta.retentionDurationCheck.enabled": "false",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "32",
}


@dataclass(frozen=True)
class SparkUpkeep:
    """Keeps a tenant's Delta tables in order on the cluster of a session."""

    spark: "SparkSession" = field(repr=False)
    tables: TenantTables

    def compact_day(self, crowded: CompactionCandidate) -> None:
        """See `compaction.compact_day`: whole rooms in a file, sorted, in a commit that changes no data.

        Raises:
            Retryable: the day was changed meanwhile.
        """
        from pyspark.sql.functions import col, lit

        path = self._path(crowded.table)
        order = ORDERS[crowded.table].split(", ")
        rows = self.spark.read.format("delta").load(path).where(col(delta_log.PARTITION) == lit(crowded.day))
        placed = rows.repartitionByRange(crowded.wanted, order[0]).sortWithinPartitions(*order)
        options = {"replaceWhere": f"{delta_log.PARTITION} = '{crowded.day}'", "dataChange": "false"}
        with _explained(crowded.table, crowded.day), self._configured(AS_OTHERS_WRITE):
            placed.write.format("delta").mode("overwrite").options(compression="zstd", **options).save(path)

    def delete_rows(self, person: Person, day: date) -> int:
        """Remove a person's messages of a day; return the version of the commit. See `remaining.DeleteRows`.

        Raises:
            Retryable: the day was changed meanwhile.
        """
        table = f"delta.`{self._path(MESSAGES)}`"
        with _explained(MESSAGES, day), self._configured(AS_OTHERS_WRITE):
            # By SQL, and not by Delta's Python package: a cluster need not have it.
            self.spark.sql(f"DELETE FROM {table} WHERE {delta_log.PARTITION} = '{day}' AND {_condition(person)}")
            return int(self.spark.sql(f"DESCRIBE HISTORY {table} LIMIT 1").collect()[0]["version"])

    def sweep_table(self, table: Table, rules: Rules, *, dry_run: bool) -> Swept:
        """See `vacuum.sweep_table`; for a table whose folder holds no day in plain Parquet."""
        days = expired_days(self.tables, table, rules)
        gone = list(self._unneeded(table, rules)) if dry_run else self._vacuum(table, rules, expire=bool(days))
        return Swept(
            table=table.name,
            days=len(days),
            files=len(gone),
            bytes=sum(file.bytes for file in gone),
            log_files=trim_log(self.tables, table, dry_run=dry_run),
        )

    def _vacuum(self, table: Table, rules: Rules, *, expire: bool) -> list[StoredFile]:
        path = self._path(table)
        before = [file for file in self.tables.files(table) if file.kind == "data"]
        with _explained(table, None), self._configured(VACUUM_CONF):
            if expire:
                self.spark.sql(f"DELETE FROM delta.`{path}` WHERE {delta_log.PARTITION} < '{rules.keep_from}'")
            self.spark.sql(f"VACUUM delta.`{path}` RETAIN {rules.retain_hours} HOURS").collect()
        left = {file.key for file in self.tables.files(table)}
        return [file for file in before if file.key not in left]

    def _unneeded(self, table: Table, rules: Rules) -> Iterator[StoredFile]:
        live = self.tables.live_keys(table)
        for file in self.tables.files(table):
            if file.kind == "data" and not is_live(file, live) and file.modified < rules.kept_since:
                yield file

    @contextmanager
    def _configured(self, conf: Mapping[str, str]) -> Iterator[None]:
        """Settings for a while; Databricks serverless refuses most, and is left as it is."""
        before: dict[str, str | None] = {}
        for name, value in conf.items():
            with suppress(Exception):
                known = self.spark.conf.get(name, None)
                self.spark.conf.set(name, value)
                before[name] = known
        try:
            yield
        finally:
            for name, known in before.items():
                if known is None:
                    self.spark.conf.unset(name)
                else:
                    self.spark.conf.set(name, known)

    def _path(self, table: Table) -> str:
        return spark_path(self.tables.url(table))


def _condition(person: Person) -> str:
    """`Person.condition` of messages in Spark's words."""
    own = _quote(person.id)
    owned = [
        f"{person.kind}_id = {own}",
        f"(split_part(source_key, '/', 2) = 'chat' AND split_part(source_key, '/', {person.key_part + 1}) = {own})",
        *(f"get_json_object(extras, '$.{name}') = {own}" for name in person.lost_names),
    ]
    if person.mentions:
        texts = (name if kind == "VARCHAR" else f"to_json({name})" for name, kind in TEXTS.items())
        owned.append(f"concat_ws(char(10), {', '.join(texts)}) RLIKE {_quote(person.pattern)}")
    return f"({' OR '.join(f'coalesce({each}, false)' for each in owned)})"


def _quote(text: str) -> str:
    """A text as SQL by its bytes, whatever is in it: from Spark 4.1 on Delta's parser leaves parameters unbound."""
    return f"CAST(X'{text.encode('utf-8', 'surrogatepass').hex()}' AS STRING)"


@contextmanager
def _explained(table: Table, day: date | None) -> Iterator[None]:
    try:
        yield
    except BatchError:
        raise
    except Exception as error:
        # Spark's own text may be pages long; its condition, or its class, says what is wrong.
        condition = getattr(error, "getCondition", lambda: None)() or type(error).__name__
        raise RetryableError(
            f"{table.name} could not be changed on Spark ({condition})",
            next_step="run the same command again",
            day=day.isoformat() if day else "-",
        ) from error

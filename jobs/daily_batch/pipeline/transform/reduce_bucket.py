"""Reduce: deduplicate, sort and write a bucket of whole rooms, and aggregate it partially for the day's summaries."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from daily_batch.domain.codes import Flag, Reason
from daily_batch.domain.contract import MESSAGES, REJECTS, TURNS
from daily_batch.domain.run import DataFile, RunSpec
from daily_batch.pipeline.transform.aggregate import save_partials, save_query
from daily_batch.pipeline.transform.duckdb_session import connect, quote_text
from daily_batch.pipeline.transform.fields import ARRAYS
from daily_batch.pipeline.transform.normalize import ROW_COLUMNS, local_hour
from daily_batch.pipeline.transform.outcomes import Counts
from daily_batch.pipeline.transform.row_buffer import RowSet
from daily_batch.pipeline.transform.turns import MESSAGE_ORDER, create_turns
from daily_batch.pipeline.transform.unknown_fields import count_fields
from daily_batch.pipeline.transform.write import (
    ATTACHMENT_COUNT,
    OutputStore,
    published_columns,
    typed_array,
    write_file,
    write_rows,
)

LINEAGE_COLUMNS = ("source_key", "source_line")
KEY_HASH = "hash(room_id, message_id)"
# Order in which the first of several records with one key wins; the last terms make it independent of arrival order.
PRECEDENCE = "timestamp DESC, modified_us DESC, source_key DESC, source_line DESC, start DESC"


@dataclass(frozen=True)
class ReduceResult:
    """The outcome of a bucket: its data files by table, partial aggregates, and counts.

    `partials` has the Parquet files of each part of the merge (see `save_partials`); `originals` is a Parquet file of
    record locations (see `original_bytes`).
    """

    files: Mapping[str, tuple[DataFile, ...]]
    partials: Sequence[Mapping[str, Path]]
    originals: Path
    counts: Counts


def reduce_bucket(
    bucket: int,
    rows: RowSet,
    *,
    connection: duckdb.DuckDBPyConnection,
    spec: RunSpec,
    output: OutputStore,
    scratch: Path,
) -> ReduceResult:
    """Write the published messages of one bucket, and their turns.

    Args:
        rows: Tables of `connection` and the bucket's own files, from all tasks of the map, in any order.
        connection: Used for this bucket only.
    """
    counts = _deduplicate(connection, rows.select(bucket), spec)
    originals = scratch / f"originals-{bucket}.parquet"
    save_query(connection, ORIGINALS, originals)
    name = f"{bucket:05d}"
    messages = write_file(
        connection,
        # Columns are typed and derived after the sort, so that the sort moves less data.
        f"SELECT {published_columns(spec)} FROM (FROM kept_rows ORDER BY {MESSAGE_ORDER})",
        table=MESSAGES,
        name=name,
        spec=spec,
        scratch=scratch,
    )
    # The file is sorted, and reading a few of its columns is cheaper than sorting again.
    create_turns(connection, f"FROM read_parquet({quote_text(str(messages.local))})" if messages else "FROM kept_rows")
    turns = write_rows(connection, "FROM turns", table=TURNS, name=name, spec=spec, output=output, scratch=scratch)
    partials = save_partials(connection, scratch, bucket=bucket, parts=spec.merges)
    counts.written = messages.file.rows if messages else 0
    counts.flags = Counter(dict(connection.execute(FLAG_COUNTS).fetchall()))
    counts.unknown_fields, counts.other_unknown_fields = count_fields(connection)
    files = {
        MESSAGES.name: (messages.upload(spec=spec, output=output),) if messages else (),
        TURNS.name: (turns,) if turns else (),
    }
    return ReduceResult(files, partials, originals, counts)


def _deduplicate(connection: duckdb.DuckDBPyConnection, rows: str, spec: RunSpec) -> Counts:
    """Create the view `kept_rows`, the table `kept` (its columns that the aggregates need), and the table `losers`.

    `losers` holds the rows that are not kept; its column `same` distinguishes duplicates from superseded records.
    """
    connection.execute(f"CREATE TEMP VIEW run AS {rows}")
    # Grouping by a hash is cheaper than by two texts; a hash collision only means that more rows are compared.
    connection.execute(f"CREATE TEMP TABLE twice AS SELECT {KEY_HASH} AS key FROM run GROUP BY key HAVING count(*) > 1")
    # Compare nothing if no key repeats: scanning all columns would be the second most expensive step.
    ((some,),) = connection.execute("SELECT count(*) > 0 FROM twice").fetchall()
    contenders = f"run SEMI JOIN twice ON {KEY_HASH} = key" if some else "run WHERE false"
    # The few rows with a repeated key are compared by body, which is every column except the lineage.
    body = ", ".join(
        typed_array(name) if name in ARRAYS else name for name in ROW_COLUMNS if name not in LINEAGE_COLUMNS
    )
    connection.execute(f"""
        CREATE TEMP TABLE losers AS
        SELECT source_key, source_line, start, length, copy > 1 AS same FROM (
            SELECT *, row_number() OVER (PARTITION BY room_id, message_id ORDER BY {PRECEDENCE}) AS place,
                   row_number() OVER (PARTITION BY {body} ORDER BY {PRECEDENCE}) AS copy
            FROM (SELECT * FROM {contenders}))
        WHERE place > 1
    """)
    ((duplicates, superseded),) = connection.execute(
        "SELECT count(*) FILTER (same), count(*) FILTER (NOT same) FROM losers"
    ).fetchall()
    without = " ANTI JOIN losers USING (source_key, source_line, start)" if some else ""
    connection.execute(f"CREATE TEMP VIEW kept_rows AS FROM run{without}")
    connection.execute(f"""
        CREATE TEMP TABLE kept AS SELECT room_id, user_id, role, timestamp, {local_hour(spec)} AS hour, message_length,
            {ATTACHMENT_COUNT} AS attachment_count, tokens_used, flags
        FROM kept_rows
    """)
    return Counts(duplicates=duplicates, superseded=superseded)


FLAG_COUNTS = "SELECT flag, count(*) FROM (SELECT unnest(string_split(flags, ',')) AS flag FROM kept) GROUP BY flag"


# Records whose original bytes go to rejects: only the reduce knows which records lost, and which repaired ones were
# published.
ORIGINALS = f"""
    SELECT source_key, source_line, start, length, '{Reason.SUPERSEDED}' AS reason FROM losers WHERE NOT same
    UNION ALL
    SELECT source_key, source_line, start, length, '{Flag.REPLACED_SURROGATE}' FROM kept_rows
    WHERE contains(flags, '{Flag.REPLACED_SURROGATE}')
"""


def write_rejects(
    parts: Sequence[Path], *, name: str, spec: RunSpec, output: OutputStore, scratch: Path
) -> tuple[DataFile, ...]:
    """Write one file of rejects from the files of the map's tasks."""
    if not parts:
        return ()
    paths = ", ".join(quote_text(str(path)) for path in parts)
    with connect(scratch=scratch, spec=spec) as connection:
        query = f"FROM read_parquet([{paths}]) ORDER BY source_key, source_line"
        file = write_rows(connection, query, table=REJECTS, name=name, spec=spec, output=output, scratch=scratch)
    return (file,) if file else ()

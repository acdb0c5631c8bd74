"""Count answers, and find the median and 95th percentile of their response times: exact values that occur in the data.

Sorted rows and their numbers find the percentiles in memory that is bounded. DuckDB's `quantile_disc` holds the values
of a group outside the memory limit.
"""

import duckdb

# The nearest rank: the smallest value that is not less than this share of the values.
RANKS = {"response_median_ms": "(answers + 1) // 2", "response_p95_ms": "(95 * answers + 99) // 100"}


def summarize_responses(connection: duckdb.DuckDBPyConnection, source: str, *, by: str, name: str) -> None:
    """Create the temporary table `name` with one row for each value of `by`: it and the columns of RESPONSES.

    Args:
        connection: Runs in one thread and preserves the order of insertion.
        source: A query with the columns `by` and `response_ms`, neither null.
    """
    connection.execute(f"CREATE TEMP TABLE {name}_sorted AS SELECT {by}, response_ms FROM ({source}) ORDER BY ALL")
    # A table's row numbers are in the order of insertion, from 0.
    connection.execute(f"""
        CREATE TEMP TABLE {name} AS
        WITH counted AS (
            SELECT {by}, count(*) AS answers, min(rowid) - 1 AS before FROM {name}_sorted GROUP BY {by}
        )
        SELECT {by}, answers, {", ".join(f"{column}.response_ms AS {column}" for column in RANKS)}
        FROM counted {" ".join(_join(name, column) for column in RANKS)}
    """)
    connection.execute(f"DROP TABLE {name}_sorted")


def _join(name: str, column: str) -> str:
    rows = f"(SELECT rowid AS number, response_ms FROM {name}_sorted) AS {column}"
    return f"JOIN {rows} ON {column}.number = before + {RANKS[column]}"

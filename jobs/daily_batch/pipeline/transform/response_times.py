"""Count answers, and find the median and 95th percentile of their response times: exact values that occur in the data.

A percentile is the value at the nearest rank: the smallest that is not less than this share of the values.
"""

import duckdb

# DuckDB's `quantile_disc` holds all values in memory, outside its limit: a bucket's rooms have few.
RESPONSES_OF_ROOMS = """
    SELECT room_id, count(*) AS answers, quantile_disc(response_ms, 0.5) AS response_median_ms,
           quantile_disc(response_ms, 0.95) AS response_p95_ms
    FROM turns WHERE response_ms IS NOT NULL GROUP BY room_id
"""
RANKS = {"response_median_ms": "(answers + 1) // 2", "response_p95_ms": "(95 * answers + 99) // 100"}
# From the table `response_times`: response times, and how often each occurs in a part of the day.
RESPONSES_OF_DAY = f"""
    SELECT {", ".join(f"min(response_ms) FILTER (last_rank >= {rank}) AS {name}" for name, rank in RANKS.items())}
    FROM (SELECT response_ms, sum(answers) OVER (ORDER BY response_ms) AS last_rank, sum(answers) OVER () AS answers
          FROM (SELECT response_ms, sum(answers)::BIGINT AS answers FROM response_times GROUP BY response_ms))
"""


def summarize_responses(connection: duckdb.DuckDBPyConnection, source: str, *, by: str, name: str) -> None:
    """Create the temporary table `name` with one row for each value of `by`: it and the columns of RESPONSES.

    Sorting, and the numbers of the sorted rows, find the ranks of millions of rows in bounded memory.

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

"""Count the fields in `extras` of published messages by name, exactly and in bounded memory.

A name may be message content where keys are data. Only names that look like an identifier are counted by themselves,
and at most `MAX_CANDIDATES` of them: the shortest ones, then by alphabet. A name among the shortest of a day is among
the shortest of each of its parts, so a day's counts do not depend on how it is split.
"""

from collections import Counter
from heapq import nsmallest

import duckdb

# Keys that are data, such as ids and dates, are longer than most names of fields.
MAX_CANDIDATES = 1_000
MAX_NAMES = 50
_PLAIN = "[A-Za-z_][A-Za-z0-9_]{0,63}"

_COUNT = f"""
    CREATE TEMP TABLE extra_fields AS
    SELECT CASE WHEN regexp_full_match(name, '{_PLAIN}') THEN name END AS name, records FROM (
        SELECT name, count(*) AS records
        FROM (SELECT unnest(json_keys(extras)) AS name FROM kept_rows WHERE extras IS NOT NULL) GROUP BY name)
"""
_SHORTEST = f"""
    SELECT name, records FROM extra_fields WHERE name IS NOT NULL ORDER BY length(name), name LIMIT {MAX_CANDIDATES}
"""


def count_fields(connection: duckdb.DuckDBPyConnection) -> tuple[Counter[str], int]:
    """Return the records of `kept_rows` by name of a field in `extras`, and the sum over all other names."""
    connection.execute(_COUNT)
    records = Counter(dict(connection.execute(_SHORTEST).fetchall()))
    ((total,),) = connection.execute("SELECT coalesce(sum(records), 0)::BIGINT FROM extra_fields").fetchall()
    return records, total - records.total()


def cap_candidates(records: Counter[str]) -> tuple[Counter[str], int]:
    """Return the counts of the candidates among the names of several parts, and the sum over the others."""
    if len(records) <= MAX_CANDIDATES:
        return records, 0
    names = nsmallest(MAX_CANDIDATES, records, key=lambda name: (len(name), name))
    capped = Counter({name: records[name] for name in names})
    return capped, records.total() - capped.total()


def most_frequent(records: Counter[str]) -> tuple[dict[str, int], int]:
    """Return the counts of the most frequent names, the highest first, and the sum over the others."""
    ordered = sorted(records.items(), key=lambda item: (-item[1], item[0]))
    shown = dict(ordered[:MAX_NAMES])
    return shown, records.total() - sum(shown.values())

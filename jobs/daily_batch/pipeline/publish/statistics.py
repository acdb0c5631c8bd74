"""Per-file statistics in Delta's text forms, such that no reader skips a file that it needs.

Texts are cut at 32 code points, as Spark cuts them: a minimum by its prefix, a maximum by its prefix and a character
that is greater than what was cut. Numbers are JSON numbers, booleans JSON booleans; NaN has no form and is refused.
"""

import json
from collections.abc import Mapping

from daily_batch.domain.run import ColumnStatistics, DataFile

MAX_TEXT = 32
# The last ASCII character is enough as long as only ASCII was cut, and stays readable in other tools.
LAST_ASCII = "\x7f"
LAST_CHARACTER = "\U0010ffff"


def bounded_statistics(statistics: Mapping[str, ColumnStatistics]) -> dict[str, ColumnStatistics]:
    """Return the same statistics with every text bounded in length; a text that fits is unchanged."""
    return {
        name: ColumnStatistics(
            minimum=column.minimum[:MAX_TEXT] if isinstance(column.minimum, str) else column.minimum,
            maximum=bounded_maximum(column.maximum) if isinstance(column.maximum, str) else column.maximum,
            nulls=column.nulls,
        )
        for name, column in statistics.items()
    }


def bounded_maximum(text: str) -> str:
    """Return a short text that is not less than `text` by code points, which is also the order of UTF-8 bytes."""
    if len(text) <= MAX_TEXT:
        return text
    cut = MAX_TEXT
    while cut < len(text) and text[cut] == LAST_CHARACTER:
        cut += 1
    if cut == len(text):
        return text
    return text[:cut] + (LAST_ASCII if text[cut] < LAST_ASCII else LAST_CHARACTER)


def statistics_json(file: DataFile) -> str:
    """Return the `stats` of the file's add action; a column without a bound has a null count only."""
    columns = bounded_statistics(file.statistics)
    return json.dumps(
        {
            "numRecords": file.rows,
            "minValues": {name: column.minimum for name, column in columns.items() if column.minimum is not None},
            "maxValues": {name: column.maximum for name, column in columns.items() if column.maximum is not None},
            "nullCount": {name: column.nulls for name, column in columns.items()},
        },
        allow_nan=False,
    )

"""Convert file statistics to Delta's text forms, so that data skipping never skips a file that a reader needs.

Texts are cut to 32 code points, as Spark cuts them: a minimum to its prefix, a maximum to its prefix and a character
greater than what was cut. Timestamps are `YYYY-MM-DDTHH:MM:SS.mmmZ`: Delta stores milliseconds, so a minimum is rounded
down and a maximum up. Numbers and booleans are those of JSON; NaN has no JSON form and is refused.
"""

import json
from collections.abc import Mapping
from datetime import timedelta

from daily_batch.domain.calendar import EPOCH
from daily_batch.domain.run import ColumnStatistics, DataFile

MAX_TEXT = 32
# The last ASCII character suffices if what was cut begins with ASCII, and stays readable in other tools.
LAST_ASCII = "\x7f"
LAST_CHARACTER = "\U0010ffff"


def timestamp_minimum(microseconds: int) -> str:
    """Return Delta's text of a timestamp (microseconds since 1970 UTC), rounded down to a millisecond."""
    return _format_milliseconds(microseconds // 1000)


def timestamp_maximum(microseconds: int) -> str:
    """Return Delta's text of a timestamp (microseconds since 1970 UTC), rounded up to a millisecond."""
    return _format_milliseconds(-(-microseconds // 1000))


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
    """Return the `stats` of the file's add action; a column without bounds has only a null count.

    Raises:
        ValueError: A bound is NaN or infinite.
    """
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


def _format_milliseconds(milliseconds: int) -> str:
    moment = EPOCH + timedelta(milliseconds=milliseconds)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"

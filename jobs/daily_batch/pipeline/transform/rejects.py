"""Write a task's rejects to Parquet files before they fill its memory."""

from pathlib import Path
from typing import Any

import duckdb
from arro3.core import Array, DataType, Table

from daily_batch.pipeline.transform.duckdb_session import quote_text

# Limits of the buffered rows.
FLUSH_BYTES = 32 * 2**20
FLUSH_ROWS = 100_000
_COLUMNS = {
    "source_key": DataType.utf8(),
    "source_line": DataType.int64(),
    "reason": DataType.utf8(),
    "detail": DataType.utf8(),
    "raw": DataType.binary(),
    "raw_truncated": DataType.bool(),
}


class RejectWriter:
    """Buffers rows of the rejects table, without the columns that are constant for a run."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
        self._connection = connection
        self._folder = folder
        # By column: the garbage collector would traverse a tuple per row again and again.
        self._keys: list[str] = []
        self._lines: list[int] = []
        self._reasons: list[str] = []
        self._details: list[str] = []
        self._raws: list[bytes] = []
        self._truncated: list[bool] = []
        self._bytes = 0
        self._files: list[Path] = []

    def add(self, key: str, line: int, reason: str, detail: str, raw: bytes, *, truncated: bool) -> None:
        """Add one row; `raw` is already cut to the limit, and `truncated` is true if bytes were cut."""
        self._keys.append(key)
        self._lines.append(line)
        self._reasons.append(reason)
        self._details.append(detail)
        self._raws.append(raw)
        self._truncated.append(truncated)
        self._bytes += len(raw)
        if self._bytes > FLUSH_BYTES or len(self._raws) >= FLUSH_ROWS:
            self._flush()

    def finish(self) -> tuple[Path, ...]:
        """Write the remaining rows, and return all files."""
        self._flush()
        return tuple(self._files)

    def _flush(self) -> None:
        if not self._raws:
            return
        columns: tuple[list[Any], ...] = (
            self._keys,
            self._lines,
            self._reasons,
            self._details,
            self._raws,
            self._truncated,
        )
        arrays = [Array(values, kind) for values, kind in zip(columns, _COLUMNS.values(), strict=True)]
        table = Table.from_arrays(arrays, names=list(_COLUMNS))
        self._connection.register("rejects", table)
        path = self._folder / f"rejects-{len(self._files)}.parquet"
        self._connection.execute(f"COPY rejects TO {quote_text(str(path))} (FORMAT parquet, COMPRESSION zstd)")
        self._files.append(path)
        for values in columns:
            values.clear()
        self._bytes = 0

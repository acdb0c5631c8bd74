"""Rejects of a task, laid down as Parquet before they fill its memory."""

from pathlib import Path
from typing import Any

import duckdb
from arro3.core import Array, DataType, Table

from daily_batch.pipeline.transform.duckdb_session import quote_text

# What is held at most before it is laid down.
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
    """Collects rows of the rejects table, less what is the same for a whole run."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
        self._connection = connection
        self._folder = folder
        # By column, for the garbage collector looks through a tuple for each row again and again.
        self._keys: list[str] = []
        self._lines: list[int] = []
        self._codes: list[str] = []
        self._details: list[str] = []
        self._raws: list[bytes] = []
        self._truncated: list[bool] = []
        self._bytes = 0
        self._files: list[Path] = []

    def add(self, key: str, line: int, code: str, detail: str, raw: bytes, *, truncated: bool) -> None:
        """Take one row; `raw` is within the limit, and `truncated` says whether it was cut there."""
        self._keys.append(key)
        self._lines.append(line)
        self._codes.append(code)
        self._details.append(detail)
        self._raws.append(raw)
        self._truncated.append(truncated)
        self._bytes += len(raw)
        if self._bytes > FLUSH_BYTES or len(self._raws) >= FLUSH_ROWS:
            self._flush()

    def finish(self) -> tuple[Path, ...]:
        """Lay down the rest; return every file."""
        self._flush()
        return tuple(self._files)

    def _flush(self) -> None:
        if not self._raws:
            return
        columns: tuple[list[Any], ...] = (
            self._keys,
            self._lines,
            self._codes,
            self._details,
            self._raws,
            self._truncated,
        )
        arrays = [Array(values, kind) for values, kind in zip(columns, _COLUMNS.values(), strict=True)]
        table = Table.from_arrays(arrays, names=list(_COLUMNS))
        self._connection.register("refused", table)
        path = self._folder / f"rejects-{len(self._files)}.parquet"
        self._connection.execute(f"COPY refused TO {quote_text(str(path))} (FORMAT parquet, COMPRESSION zstd)")
        self._files.append(path)
        for values in columns:
            values.clear()
        self._bytes = 0

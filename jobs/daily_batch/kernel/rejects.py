"""Rejects of a task, laid down as Parquet before they fill its memory."""

from pathlib import Path

import duckdb
from arro3.core import Array, DataType, Table

from daily_batch.kernel.database import quote_text

# What is held at most before it is laid down.
FLUSH_BYTES = 32 * 2**20
FLUSH_ROWS = 100_000


class RejectWriter:
    """Collects rows of the rejects table, less what is the same for a whole run."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
        self._connection = connection
        self._folder = folder
        self._rows: list[tuple[str, int, str, str, bytes, bool]] = []
        self._bytes = 0
        self._files: list[Path] = []

    def add(self, key: str, line: int, code: str, detail: str, raw: bytes, *, truncated: bool) -> None:
        """Take one row; `raw` is within the limit, and `truncated` says whether it was cut there."""
        self._rows.append((key, line, str(code), detail, raw, truncated))
        self._bytes += len(raw)
        if self._bytes > FLUSH_BYTES or len(self._rows) >= FLUSH_ROWS:
            self._flush()

    def finish(self) -> tuple[Path, ...]:
        """Lay down the rest; return every file."""
        self._flush()
        return tuple(self._files)

    def _flush(self) -> None:
        if not self._rows:
            return
        keys, lines, codes, details, raws, truncated = (list(column) for column in zip(*self._rows, strict=True))
        table = Table.from_pydict(
            {
                "source_key": Array(keys, DataType.utf8()),
                "source_line": Array(lines, DataType.int64()),
                "reason": Array(codes, DataType.utf8()),
                "detail": Array(details, DataType.utf8()),
                "raw": Array(raws, DataType.binary()),
                "raw_truncated": Array(truncated, DataType.bool()),
            }
        )
        self._connection.register("refused", table)
        path = self._folder / f"rejects-{len(self._files)}.parquet"
        self._connection.execute(f"COPY refused TO {quote_text(str(path))} (FORMAT parquet, COMPRESSION zstd)")
        self._files.append(path)
        self._rows, self._bytes = [], 0

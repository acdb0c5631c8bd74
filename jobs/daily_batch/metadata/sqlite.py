"""The metadata store in an SQLite file, for one machine and for trials. Processes may share it."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from daily_batch.errors import RetryableError, TerminalError
from daily_batch.metadata.store import Item, VersionConflictError, VersionedItem, invalid_item

# How long a writer waits for another one, which locks the file for a moment only.
BUSY_SECONDS = 30.0
_TABLE = """
CREATE TABLE IF NOT EXISTS metadata (
    pk TEXT NOT NULL, sk TEXT NOT NULL, version INTEGER NOT NULL, item TEXT NOT NULL, PRIMARY KEY (pk, sk)
) WITHOUT ROWID
"""


@dataclass(frozen=True)
class SqliteStore:
    """See `MetadataStore`. Each call opens a connection: threads and processes share nothing but the file."""

    file: Path
    # How errors name the folder of the file.
    folder_name: str = field(default="the ledger's folder", compare=False)  # in errors

    def get(self, pk: str, sk: str) -> VersionedItem | None:
        """See `MetadataStore.get`."""
        if not self._exists():
            return None
        with self._connected() as connection:
            row = connection.execute("SELECT item, version FROM metadata WHERE pk = ? AND sk = ?", (pk, sk)).fetchone()
        return VersionedItem(_read(row[0], pk, sk), str(row[1])) if row else None

    def query(self, pk: str, *, first: str, last: str) -> Iterator[Item]:
        """See `MetadataStore.query`."""
        if not self._exists():
            return iter(())
        query = "SELECT item, sk FROM metadata WHERE pk = ? AND sk BETWEEN ? AND ? ORDER BY sk"
        with self._connected() as connection:
            rows = connection.execute(query, (pk, first, last)).fetchall()
        return (_read(text, pk, sk) for text, sk in rows)

    def put(self, item: Item, *, expected: str | None) -> str:
        """See `MetadataStore.put`."""
        text = json.dumps(item, ensure_ascii=False)
        with self._connected() as connection:
            if expected is None:
                query = "INSERT INTO metadata VALUES (?, ?, 1, ?) ON CONFLICT DO NOTHING"
                written = connection.execute(query, (item["PK"], item["SK"], text)).rowcount
            else:
                query = "UPDATE metadata SET version = version + 1, item = ? WHERE pk = ? AND sk = ? AND version = ?"
                written = connection.execute(query, (text, item["PK"], item["SK"], int(expected))).rowcount
        if not written:
            raise VersionConflictError
        return str(int(expected or 0) + 1)

    def _exists(self) -> bool:
        try:
            return self.file.exists()
        except OSError as error:  # a folder that must not be read
            raise self._explain_path(error) from error

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection in a transaction; create the file and its folder if they are missing."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.file, timeout=BUSY_SECONDS)) as connection, connection:
                connection.execute(_TABLE)
                yield connection
        except sqlite3.DatabaseError as error:
            raise self._explain(error) from error
        except OSError as error:
            raise self._explain_path(error) from error

    def _explain_path(self, error: Exception) -> TerminalError:
        what = f"{self.folder_name} {self.file.parent} cannot be created or read ({type(error).__name__})"
        return TerminalError(what, next_step="give a folder that this user may write to")

    def _explain(self, error: sqlite3.DatabaseError) -> RetryableError | TerminalError:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        if name.startswith("SQLITE_CANTOPEN") and not self.file.exists():
            return self._explain_path(error)
        what = f"the ledger {self.file} cannot be used ({name})"
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR")):
            return RetryableError(f"{what}; nothing was published", next_step="run the day again")
        return TerminalError(what, next_step="check the file and its permissions, or set ledger to another file")


def _read(text: object, pk: str, sk: str) -> Item:
    try:
        item = json.loads(str(text))
    except (ValueError, RecursionError):
        item = None
    if not isinstance(item, dict):
        raise invalid_item(f"{sk} of {pk}", "it is not a JSON object")
    return {**item, "PK": pk, "SK": sk}

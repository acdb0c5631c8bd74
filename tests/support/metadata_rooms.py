"""Write metadata as the platform does, to a SQLite store."""

from pathlib import Path
from typing import Any

from daily_batch.metadata.sqlite import SqliteStore


def open_metadata(folder: Path) -> SqliteStore:
    """Return a new store in a folder of its own."""
    return SqliteStore(folder / "metadata" / "metadata.sqlite")


def put_user(metadata: SqliteStore, user: str, *, tenant: str = "acme") -> None:
    metadata.put({"PK": f"TENANT#{tenant}", "SK": f"USER#{user}"}, expected=None)


def put_room(metadata: SqliteStore, user: str, room: str, updated_at: Any = None, *, tenant: str = "acme") -> None:
    """Write a room; None: without `updated_at`."""
    item: dict[str, Any] = {"PK": f"TENANT#{tenant}#USER#{user}", "SK": f"CHAT#{room}", "title": "t", "status": "open"}
    if updated_at is not None:
        item["updated_at"] = updated_at
    metadata.put(item, expected=None)

"""Write metadata as the platform does, to a SQLite store."""

from pathlib import Path
from typing import Any

from daily_batch.metadata.sqlite import SqliteStore


def open_metadata(folder: Path) -> SqliteStore:
    """Create a store in its own folder."""
    return SqliteStore(folder / "metadata" / "metadata.sqlite")


def put_user(metadata: SqliteStore, user: str, *, tenant: str = "acme") -> None:
    metadata.put({"PK": f"TENANT#{tenant}", "SK": f"USER#{user}"}, expected=None)


def put_room(metadata: SqliteStore, user: str, room: str, updated_at: Any = None, *, tenant: str = "acme") -> None:
    """Write a room, without `updated_at` if it is None."""
    item: dict[str, Any] = {"PK": f"TENANT#{tenant}#USER#{user}", "SK": f"CHAT#{room}", "title": "t", "status": "open"}
    if updated_at is not None:
        item["updated_at"] = updated_at
    metadata.put(item, expected=None)

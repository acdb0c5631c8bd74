"""The aggregates of published rows."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

Row = dict[str, Any]


def aggregate(rows: list[Row]) -> dict[str, list[Row]]:
    """Return rooms_daily, users_daily and summary_daily without date and tenant."""
    return {
        "rooms_daily": _group(rows, "room_id", "unique_users", "user_id"),
        "users_daily": _group(rows, "user_id", "unique_rooms", "room_id"),
        "summary_daily": [_summary(rows)],
    }


def _group(rows: list[Row], by: str, name: str, of: str) -> list[Row]:
    keys = sorted({row[by] for row in rows if row[by] is not None})
    groups = {key: [row for row in rows if row[by] == key] for key in keys}
    return [{by: key, name: _distinct(group, of), **_totals(group)} for key, group in groups.items()]


def _distinct(rows: Iterable[Row], name: str) -> int:
    return len({row[name] for row in rows if row[name] is not None})


def _totals(rows: list[Row]) -> Row:
    moments = [row["timestamp"] for row in rows]
    return {
        "messages": len(rows),
        "user_messages": sum(row["role"] == "user" for row in rows),
        "assistant_messages": sum(row["role"] == "assistant" for row in rows),
        "total_length": sum(row["message_length"] for row in rows),
        "tokens_used": _fitting(sum(row["tokens_used"] or 0 for row in rows)),
        "attachments": sum(row["attachment_count"] for row in rows),
        "first_at": min(moments, default=None),
        "last_at": max(moments, default=None),
    }


def _fitting(total: int) -> int | None:
    return total if total < 2**63 else None


def _summary(rows: list[Row]) -> Row:
    totals = _totals(rows)
    hours = Counter(row["hour"] for row in rows)
    roles = Counter(row["role"] for row in rows)
    # An absent role comes last, like null in ascending order.
    named = sorted(roles, key=lambda role: (role is None, role))
    return {
        "unique_users": _distinct(rows, "user_id"),
        "unique_rooms": _distinct(rows, "room_id"),
        **totals,
        "average_length": totals["total_length"] / len(rows) if rows else None,
        "messages_by_hour": [hours[hour] for hour in range(24)],
        "messages_by_role": [{"role": role, "messages": roles[role]} for role in named],
    }

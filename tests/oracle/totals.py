"""The turns and aggregates of published rows."""

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from fractions import Fraction
from math import ceil
from typing import Any

Row = dict[str, Any]


def aggregate(rows: list[Row]) -> dict[str, list[Row]]:
    """Return turns, rooms_daily, users_daily and summary_daily without the date."""
    return {
        "turns": turns(rows),
        "rooms_daily": _group(rows, "room_id", "unique_users", "user_id"),
        "users_daily": _group(rows, "user_id", "unique_rooms", "room_id"),
        "summary_daily": [_summary(rows)],
    }


def _group(rows: list[Row], by: str, name: str, of: str) -> list[Row]:
    keys = sorted({row[by] for row in rows if row[by] is not None})
    groups = {key: [row for row in rows if row[by] == key] for key in keys}
    found = turns(rows)
    return [
        {by: key, name: _distinct(group, of), **_totals(group), **_responses(group, found)}
        for key, group in groups.items()
    ]


def turns(rows: list[Row]) -> list[Row]:
    """Pair each user message with its answer."""
    rooms: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row["timestamp"], row["message_id"])):
        if row["role"] in ("user", "assistant"):
            rooms.setdefault(row["room_id"], []).append(row)
    return [turn for talk in rooms.values() for turn in _turns_of_room(talk)]


def _turns_of_room(talk: list[Row]) -> list[Row]:
    asked = [place for place, row in enumerate(talk) if row["role"] == "user"]
    found = []
    for number, place in enumerate(asked, 1):
        question, following = talk[place], talk[place + 1 : place + 2]
        answer = following[0] if following and following[0]["role"] == "assistant" else None
        waited = answer["timestamp"] - question["timestamp"] if answer else None
        found.append(
            {
                "room_id": question["room_id"],
                "turn": number,
                "user_id": question["user_id"],
                "user_message_id": question["message_id"],
                "user_at": question["timestamp"],
                "user_length": question["message_length"],
                "answer_message_id": answer and answer["message_id"],
                "answered_at": answer and answer["timestamp"],
                "response_ms": None if waited is None else waited // timedelta(milliseconds=1),
                "answer_length": answer and answer["message_length"],
                "tokens_used": answer and answer["tokens_used"],
                "agent_mode": answer and answer["agent_mode"],
                "starts_with_answer": number == 1 and place > 0,
                "cut_by_midnight": not following,
            }
        )
    return found


def _responses(rows: list[Row], found: list[Row]) -> Row:
    """Return the response times of the turns whose user message is among the rows."""
    asked = {(row["room_id"], row["message_id"]) for row in rows}
    waits = sorted(
        turn["response_ms"]
        for turn in found
        if turn["answer_message_id"] is not None and (turn["room_id"], turn["user_message_id"]) in asked
    )
    return {
        "answers": len(waits),
        "response_median_ms": waits[ceil(Fraction(1, 2) * len(waits)) - 1] if waits else None,
        "response_p95_ms": waits[ceil(Fraction(95, 100) * len(waits)) - 1] if waits else None,
    }


def _distinct(rows: Iterable[Row], name: str) -> int:
    return len({row[name] for row in rows if row[name] is not None})


def _totals(rows: list[Row]) -> Row:
    moments = [row["timestamp"] for row in rows]
    return {
        "messages": len(rows),
        "user_messages": sum(row["role"] == "user" for row in rows),
        "assistant_messages": sum(row["role"] == "assistant" for row in rows),
        "other_messages": sum(row["role"] not in ("user", "assistant") for row in rows),
        "user_length": sum(row["message_length"] for row in rows if row["role"] == "user"),
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
        **_responses(rows, turns(rows)),
        "average_length": totals["total_length"] / len(rows) if rows else None,
        "messages_by_hour": [hours[hour] for hour in range(24)],
        "messages_by_role": [{"role": role, "messages": roles[role]} for role in named],
    }

"""The expected answers to questions 1 to 10, in plain Python from the oracle's rows, and all twenty by number."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from statistics import fmean
from typing import Any

from tests.support.day_runs import DAY
from tests.support.reading import expected_use
from tests.support.reading.week import WEEK, Week, last_run

Row = dict[str, Any]
ROOM, MESSAGE = "room_36fbeee7", "msg_5dc99863053c360d"


def hours(week: Week) -> list[Row]:
    return [{"hour": hour, "messages": count} for hour, count in sorted(Counter(_values(week, "hour")).items())]


def rooms(week: Week) -> list[Row]:
    rows: list[Row] = [
        {"room_id": room, "messages": len(group), "unique_users": len({row["user_id"] for row in group})}
        for room, group in _group_by(week, "room_id").items()
    ]
    return sorted(rows, key=lambda row: (-row["messages"], row["room_id"]))[:10]


def users(week: Week) -> list[Row]:
    rows: list[Row] = [
        {"user_id": user, "tokens_used": sum(row["tokens_used"] or 0 for row in group), "messages": len(group)}
        for user, group in _group_by(week, "user_id").items()
    ]
    return sorted(rows, key=lambda row: (-row["tokens_used"], row["user_id"]))[:10]


def reasons(week: Week) -> list[Row]:
    counts: Counter[str] = Counter()
    for (_, _, reason, *_), count in week.days[DAY].rejects.items():
        counts[reason] += count
    del counts["replaced_surrogate"]
    rows = [{"reason": each, "records": n, "percent": 100 * n / counts.total()} for each, n in counts.items()]
    return sorted(rows, key=lambda row: (-row["records"], row["reason"]))


def answer_times(week: Week) -> list[Row]:
    times = [turn.response_ms for turn in expected_use.list_turns(week, DAY) if turn.answer]
    return [{"answers": len(times), "average_ms": fmean(times), "longest_ms": max(times)}]


def files(week: Week) -> list[Row]:
    rows = [
        {"room_id": row["room_id"], "message_id": row["message_id"], "name": file["name"], "size": file["size"]}
        for row in _rows(week)
        for file in row["attachments"] or []
    ]
    return sorted(rows, key=itemgetter("room_id", "message_id", "name"))


def published_since(week: Week) -> list[Row]:
    return [
        {"date": day, "messages": len(week.rows(day)), "run_id": last_run(day)[0], "processed_at": last_run(day)[1]}
        for day in (DAY, WEEK[-1])
    ]


def conversation(week: Week) -> list[Row]:
    rows = sorted(_group_by(week, "room_id")[ROOM], key=itemgetter("timestamp", "message_id"))
    return [{name: row[name] for name in ("timestamp", "user_id", "role", "content")} for row in rows]


def weekdays(week: Week) -> list[Row]:
    return [
        {
            "date": day,
            "weekday": day.isoweekday(),
            "messages": len(week.rows(day)),
            "unique_users": len({row["user_id"] for row in week.rows(day)}),
            "tokens_used": sum(row["tokens_used"] or 0 for row in _rows(week, day)),
        }
        for day in WEEK
    ]


def lineage(week: Week) -> list[Row]:
    run_id, processed_at = last_run(DAY)
    of_the_run = {"run_id": run_id, "processed_at": processed_at}
    (row,) = (row for row in _rows(week) if (row["room_id"], row["message_id"]) == (ROOM, MESSAGE))
    return [{name: row[name] for name in ("source_key", "source_line", "flags")} | of_the_run]


def late_messages(week: Week) -> list[Row]:
    """Return the messages that only the second run of the day published."""
    first_run = {(row["room_id"], row["message_id"]) for row in week.before.rows}
    late = sorted({(row["room_id"], row["message_id"]) for row in _rows(week)} - first_run)
    return [{"room_id": room, "message_id": message} for room, message in late]


ANSWERS: Mapping[str, Callable[[Week], list[Row]]] = {
    "1": hours,
    "2": rooms,
    "3": users,
    "4": reasons,
    "5": answer_times,
    "6": files,
    "7": published_since,
    "8": conversation,
    "9": weekdays,
    "10": lineage,
    "11": expected_use.response_times,
    "12": expected_use.active_users,
    "13": expected_use.returned_users,
    "14": expected_use.new_users,
    "15": expected_use.busiest_hours,
    "16": expected_use.tokens_by_mode,
    "17": expected_use.unanswered,
    "18": expected_use.longest_conversations,
    "19": expected_use.growth,
    "20": expected_use.containing_word,
}


def _rows(week: Week, day: Any = DAY) -> list[Row]:
    return week.rows(day)


def _values(week: Week, name: str) -> Iterable[Any]:
    return (row[name] for row in _rows(week))


def _group_by(week: Week, name: str) -> dict[str, list[Row]]:
    groups = defaultdict(list)
    for row in _rows(week):
        groups[row[name]].append(row)
    return groups

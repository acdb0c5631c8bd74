"""The expected answers to questions 11 to 20, on turns and use over weeks, in plain Python from the oracle's rows."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import ceil
from operator import itemgetter
from typing import Any

from tests.support.day_runs import DAY
from tests.support.reading.week import DAYS, WEEK, Week

Row = dict[str, Any]
WORD = "議事録"


@dataclass(frozen=True)
class Turn:
    """A user message, its number in the room's day, and its answer."""

    day: date
    number: int
    question: Row
    answer: Row | None
    is_last: bool

    @property
    def response_ms(self) -> int:
        """Return how long the answer took."""
        assert self.answer
        elapsed: timedelta = self.answer["timestamp"] - self.question["timestamp"]
        return elapsed // timedelta(milliseconds=1)


def list_turns(week: Week, *days: date) -> Iterator[Turn]:
    """Yield the turns of some days, by day and room."""
    for day in days:
        rooms = defaultdict(list)
        for row in sorted(week.rows(day), key=itemgetter("timestamp", "message_id")):
            if row["role"] in ("user", "assistant"):
                rooms[row["room_id"]].append(row)
        for rows in rooms.values():
            number = 0
            for at, row in enumerate(rows):
                if row["role"] == "user":
                    number += 1
                    after = rows[at + 1] if at + 1 < len(rows) else None
                    answer = after if after and after["role"] == "assistant" else None
                    yield Turn(day, number, row, answer, is_last=after is None)


def response_times(week: Week) -> list[Row]:
    rows = []
    for day in WEEK:
        times = sorted(turn.response_ms for turn in list_turns(week, day) if turn.answer)
        median, p95 = (times[ceil(len(times) * share) - 1] if times else None for share in (0.5, 0.95))
        rows.append({"date": day, "answers": len(times), "response_median_ms": median, "response_p95_ms": p95})
    return rows


def active_users(week: Week) -> list[Row]:
    rows = []
    for day in WEEK:
        since = {
            name: {user for each in DAYS if day - timedelta(days) < each <= day for user in _users(week, each)}
            for name, days in (("daily", 1), ("weekly", 7), ("monthly", 30))
        }
        rows.append({"date": day} | {name: len(users) for name, users in since.items()})
    return rows


def returned_users(week: Week) -> list[Row]:
    weeks: dict[date, set[str]] = defaultdict(set)
    for day in DAYS:
        weeks[day - timedelta(day.weekday())] |= _users(week, day)
    return [
        {"week": monday, "users": len(users), "returned": len(users & weeks.get(monday + timedelta(7), set()))}
        for monday, users in sorted(weeks.items())
    ]


def new_users(week: Week) -> list[Row]:
    first: dict[str, date] = {}
    for day in DAYS:
        first |= {user: day for user in _users(week, day) if user not in first}
    rows = [{"user_id": user, "first_day": day} for user, day in first.items() if day >= WEEK[0]]
    return sorted(rows, key=itemgetter("first_day", "user_id"))


def busiest_hours(week: Week) -> list[Row]:
    messages = [row for day in WEEK for row in week.rows(day)]
    rows = [
        {
            "hour": hour,
            "messages": count,
            "users": len({row["user_id"] for row in messages if row["hour"] == hour} - {None}),
        }
        for hour, count in Counter(row["hour"] for row in messages).items()
    ]
    return sorted(rows, key=lambda row: (-row["messages"], row["hour"]))[:5]


def tokens_by_mode(week: Week) -> list[Row]:
    answers = [turn.answer for turn in list_turns(week, *WEEK) if turn.answer]
    tokens: Counter[str | None] = Counter()
    for answer in answers:
        tokens[answer["agent_mode"]] += answer["tokens_used"] or 0
    assert len(set(tokens.values())) == len(tokens), "the question's order is not defined"
    counts = Counter(answer["agent_mode"] for answer in answers)
    return [{"agent_mode": mode, "answers": counts[mode], "tokens": total} for mode, total in tokens.most_common()]


def unanswered(week: Week) -> list[Row]:
    turns = [turn for turn in list_turns(week, DAY) if not turn.answer and not turn.is_last]
    rows = [_name_question(turn) for turn in turns]
    return sorted(rows, key=itemgetter("room_id", "turn"))


def longest_conversations(week: Week) -> list[Row]:
    rooms: dict[tuple[date, str], list[Turn]] = defaultdict(list)
    for turn in list_turns(week, *WEEK):
        rooms[turn.day, turn.question["room_id"]].append(turn)
    rows = [
        {
            "date": day,
            "room_id": room,
            "questions": len(turns),
            "first_at": min(turn.question["timestamp"] for turn in turns),
            "last_at": _last([turn.answer["timestamp"] for turn in turns if turn.answer]),
        }
        for (day, room), turns in rooms.items()
    ]
    return sorted(rows, key=lambda row: (-row["questions"], row["date"], row["room_id"]))[:10]


def growth(week: Week) -> list[Row]:
    counts = [len(week.rows(day)) for day in DAYS]
    recent = [counts[max(0, at - 6) : at + 1] for at in range(len(DAYS))]
    return [
        {"date": day, "messages": count, "average": sum(last) / len(last)}
        for day, count, last in zip(DAYS, counts, recent, strict=True)
    ]


def containing_word(week: Week) -> list[Row]:
    rows = [row for row in week.rows(DAY) if WORD in (row["content"] or "")]
    named = [{name: row[name] for name in ("room_id", "message_id", "role")} for row in rows]
    return sorted(named, key=itemgetter("room_id", "message_id"))


def _users(week: Week, day: date) -> set[str]:
    return {row["user_id"] for row in week.rows(day)} - {None}


def _name_question(turn: Turn) -> Row:
    question = turn.question
    names = {"room_id": question["room_id"], "turn": turn.number, "user_message_id": question["message_id"]}
    return names | {"user_at": question["timestamp"]}


def _last(times: list[datetime]) -> datetime | None:
    return max(times, default=None)

"""Who writes where and when: the day's clock, rooms of Zipf-like sizes, their owners and the time of every turn.

A turn's time follows by arithmetic from its room and number, so any slice of the day can be generated without the rest.
Times are milliseconds from the day's start.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from random import Random
from typing import NamedTuple

from daily_batch.domain.calendar import day_window, load_zone

MAX_ROOM = 500
MINUTE = 60_000
_MARGIN = 24 * 60  # minutes that the clock knows before and after the day
_FASTEST_MS = 40_000  # a question at most every 40 s: 90 an hour, where the platform allows 100
_SLOWEST_MS = 150_000
_ODD_NAMES = ("_bob", ".carol", "a=b", "山田 太郎", "c#dev", "50%off", "o'neil", "佐藤")
# Weights of the hours in which users begin.
_HOURS = (1, 1, 1, 1, 1, 2, 4, 8, 14, 20, 20, 18, 14, 18, 20, 18, 16, 14, 10, 8, 8, 6, 4, 2)
# Seconds and milliseconds within a minute, as bodies and keys write them.
_SECONDS = tuple(b"%02d.%03d" % divmod(ms, 1000) for ms in range(MINUTE))


@dataclass(frozen=True)
class Clock:
    """A business day's times as text, by lookup instead of formatting.

    `start_ms` counts from 1970 UTC; the day is `length_ms` long.
    """

    day: date
    start_ms: int
    length_ms: int
    first_minute: int
    bodies: tuple[bytes, ...]
    folders: tuple[bytes, ...]
    hours: tuple[int, ...]

    def format_timestamp(self, ms: int) -> bytes:
        """Return a time in UTC as a body has it: `2025-08-12T23:36:05.123`."""
        minute, rest = divmod(self.start_ms + ms, MINUTE)
        return self.bodies[minute - self.first_minute] + _SECONDS[rest]

    def format_key(self, ms: int) -> bytes:
        """Return a time in UTC as an object's key has it: `2025/08/12/23-36-05.123Z-`."""
        minute, rest = divmod(self.start_ms + ms, MINUTE)
        return b"%b%bZ-" % (self.folders[minute - self.first_minute], _SECONDS[rest])

    def local_hour(self, ms: int) -> int:
        """Return the hour in the day's time zone."""
        return self.hours[(self.start_ms + ms) // MINUTE - self.first_minute]


def make_clock(day: date, zone: str) -> Clock:
    """Return the clock of a business day."""
    start_us, end_us = day_window(day, zone)
    start_ms, length_ms = start_us // 1000, (end_us - start_us) // 1000
    first = start_ms // MINUTE - _MARGIN
    begin = datetime.fromtimestamp(first * 60, tz=UTC)
    minutes = [begin + timedelta(minutes=n) for n in range(length_ms // MINUTE + 2 * _MARGIN + 1)]
    zone_info = load_zone(zone)
    return Clock(
        day,
        start_ms,
        length_ms,
        first,
        tuple(minute.strftime("%Y-%m-%dT%H:%M:").encode() for minute in minutes),
        tuple(minute.strftime("%Y/%m/%d/%H-%M-").encode() for minute in minutes),
        tuple(minute.astimezone(zone_info).hour for minute in minutes),
    )


@dataclass(frozen=True)
class Rooms:
    """One entry per room, ordered by owner; `users` has one entry per owner."""

    names: tuple[bytes, ...]
    owners: tuple[int, ...]
    sizes: tuple[int, ...]
    starts: tuple[int, ...]
    periods: tuple[int, ...]
    users: tuple[bytes, ...]

    def end(self, room: int) -> int:
        """Return the end of the room's last pair of turns."""
        return self.starts[room] + (self.sizes[room] + 1) // 2 * self.periods[room]


class Slots(NamedTuple):
    """Turns in order of time: when, in which room, and the number of the turn (even: the user, odd: the agent)."""

    times: list[int]
    rooms: list[int]
    turns: list[int]


def plan_rooms(rng: Random, *, messages: int, day_ms: int, odd_names: float) -> Rooms:
    """Return rooms for exactly `messages` messages; a user writes in one room at a time."""
    sizes = _sizes(rng, messages)
    owners: list[int] = []
    starts: list[int] = []
    periods: list[int] = []
    user = 0
    while len(owners) < len(sizes):
        period = int(_FASTEST_MS + (_SLOWEST_MS - _FASTEST_MS) * rng.random())
        count, pairs = _rooms_of_user(rng, sizes, len(owners), day_ms)
        if pairs:
            period = max(_FASTEST_MS, min(period, day_ms * 8 // 10 // pairs))
        spare = day_ms - pairs * period - 1
        start = min(spare, _first_turn(rng, day_ms))
        for size in sizes[len(owners) : len(owners) + count]:
            owners.append(user)
            starts.append(start)
            periods.append(period)
            pause = int(rng.random() * 20 * MINUTE)
            start = start + (size + 1) // 2 * period
            spare_after = day_ms - start - (pairs := pairs - (size + 1) // 2) * period - 1
            start += max(0, min(pause, spare_after))
        user += 1
    names = tuple(b"room_%08x" % (0x9E3779B1 * (room + 1) % 2**32) for room in range(len(sizes)))
    return Rooms(names, tuple(owners), tuple(sizes), tuple(starts), tuple(periods), _user_names(rng, user, odd_names))


def cut_day(rooms: Rooms, *, day_ms: int, parts: int) -> list[int]:
    """Return the `parts + 1` edges of slices of the day with about equally many turns."""
    minutes = day_ms // MINUTE + 1
    change = [0.0] * (minutes + 1)
    for room, size in enumerate(rooms.sizes):
        first, last = rooms.starts[room] // MINUTE, min(rooms.end(room) // MINUTE, minutes - 1)
        change[first] += size / (last - first + 1)
        change[last + 1] -= size / (last - first + 1)
    total = [0.0, *accumulate(accumulate(change[:minutes]))]
    edges = [0]
    for part in range(1, parts):
        wanted = total[-1] * part / parts
        minute = max(1, bisect_left(total, wanted))
        share = (wanted - total[minute - 1]) / max(total[minute] - total[minute - 1], 1e-9)
        edges.append(max(edges[-1], min(day_ms, int((minute - 1 + share) * MINUTE))))
    return [*edges, day_ms]


def rooms_between(rooms: Rooms, candidates: Iterable[int], begin: int, end: int) -> list[int]:
    """Return the candidates that may have turns in the slice."""
    starts, end_of = rooms.starts, rooms.end
    return [room for room in candidates if starts[room] < end and end_of(room) > begin]


def turns_between(rooms: Rooms, candidates: Sequence[int], begin: int, end: int) -> Slots:
    """Return every turn of the candidates with `begin <= time < end`, in order of time."""
    times: list[int] = []
    in_rooms: list[int] = []
    turns: list[int] = []
    for room in candidates:
        start, period, size = rooms.starts[room], rooms.periods[room], rooms.sizes[room]
        first = max(0, (begin - start) // period)
        last = min((size + 1) // 2, (end - start) // period + 1)
        half, quarter, salt = period // 2, period // 4, room * 104_729
        for pair in range(first, last):
            time = start + pair * period + (pair * 7_919 + salt) % half
            if begin <= time < end:
                times.append(time)
                in_rooms.append(room)
                turns.append(2 * pair)
            time += 2_000 + (pair * 6_007 + salt) % (quarter - 2_000)
            if begin <= time < end and 2 * pair + 1 < size:
                times.append(time)
                in_rooms.append(room)
                turns.append(2 * pair + 1)
    order = sorted(range(len(times)), key=times.__getitem__)
    return Slots([times[at] for at in order], [in_rooms[at] for at in order], [turns[at] for at in order])


def _sizes(rng: Random, messages: int) -> list[int]:
    """Return sizes with P(n) ~ n^-1.3 from 2 to the cap (mean about 50), by inverse transform sampling."""
    cap = min(MAX_ROOM, max(4, messages // 8))
    low, high = 2**-0.3, (cap + 1) ** -0.3
    sizes: list[int] = []
    left = messages
    while left > 0:
        size = min(left, int((low - rng.random() * (low - high)) ** (-1 / 0.3)))
        sizes.append(size)
        left -= size
    return sizes


def _rooms_of_user(rng: Random, sizes: Sequence[int], first: int, day_ms: int) -> tuple[int, int]:
    """Return how many of the next rooms the user owns, and their pairs of turns: as many as fit in a day."""
    wanted = 1 + int(4 * rng.random() ** 2)
    max_pairs = day_ms * 8 // 10 // _FASTEST_MS
    count = pairs = 0
    for size in sizes[first : first + wanted]:
        if count and pairs + (size + 1) // 2 > max_pairs:
            break
        count, pairs = count + 1, pairs + (size + 1) // 2
    return count, pairs


def _first_turn(rng: Random, day_ms: int) -> int:
    at = rng.random() * sum(_HOURS)
    hour = bisect_left(list(accumulate(_HOURS)), at)
    return int((hour + rng.random()) / len(_HOURS) * day_ms)


def _user_names(rng: Random, users: int, odd_names: float) -> tuple[bytes, ...]:
    odd = int(users * odd_names + rng.random()) if odd_names else 0
    names = [
        _ODD_NAMES[user % len(_ODD_NAMES)] + (str(user // len(_ODD_NAMES)) if user >= len(_ODD_NAMES) else "")
        for user in range(odd)
    ]
    return tuple(name.encode() for name in names) + tuple(
        b"user_%06x" % (0x9E3779 * (user + 1) % 2**24) for user in range(odd, users)
    )

"""Object keys and arrival times of generated records."""

from collections.abc import Sequence
from itertools import repeat
from random import Random

from daily_batch.synthetic.day import Columns, Day, render_records
from daily_batch.synthetic.rooms import Slots

# Arrival time, object key (empty in an export) and record. A plain tuple, because there are millions.
Arrival = tuple[int, bytes, bytes]


def make_arrivals(
    day: Day, columns: Columns, *, key_times: Sequence[int] | None = None, times: Sequence[int] | None = None
) -> list[Arrival]:
    """Return the records with their keys and arrival times.

    Args:
        key_times: times in the objects' keys; the messages' own by default.
        times: arrival times; `key_times` by default.
    """
    key_times = columns.slots.times if key_times is None else key_times
    exported = day.spec.layout == "export"
    keys = repeat(b"") if exported else _make_keys(day, columns.slots.rooms, key_times, columns.names)
    return list(zip(key_times if times is None else times, keys, render_records(columns), strict=False))


def _make_keys(day: Day, rooms: Sequence[int], times: Sequence[int], names: Sequence[bytes]) -> list[bytes]:
    format_key = day.clock.format_key
    return [
        b"%bmessages/%b%b.json" % (room_folder(day, room), format_key(time), identifier)
        for room, time, identifier in zip(rooms, times, names, strict=True)
    ]


def room_folder(day: Day, room: int) -> bytes:
    """Return the folder of a room, with its trailing slash."""
    rooms = day.rooms
    return b"%b/chat/%b/%b/" % (day.spec.tenant.encode(), rooms.users[rooms.owners[room]], rooms.names[room])


def random_slots(rng: Random, day: Day, count: int, begin: int, end: int) -> Slots:
    """Return turns in random rooms with `begin <= time < end`."""
    times = sorted(begin + int(rng.random() * (end - begin)) for _ in range(count))
    rooms = [int(rng.random() * len(day.rooms.sizes)) for _ in range(count)]
    return Slots(times, rooms, [int(rng.random() * 2) for _ in range(count)])

"""Records on their way into objects and files."""

from collections.abc import Sequence
from itertools import repeat
from random import Random

from daily_batch.synthetic.columns import Columns, join
from daily_batch.synthetic.day import Day
from daily_batch.synthetic.rooms import Slots

# The time of arrival, in the messages layout the object's key (else empty), and the record. A plain tuple: there are
# millions.
Arrival = tuple[int, bytes, bytes]


def arrive(
    day: Day, columns: Columns, *, named: Sequence[int] | None = None, times: Sequence[int] | None = None
) -> list[Arrival]:
    """Records at `times` in objects named after `named`; both are the messages' own times where not given."""
    named = columns.slots.times if named is None else named
    exported = day.spec.layout == "export"
    keys = repeat(b"") if exported else _keys(day, columns.slots.rooms, named, columns.names)
    return list(zip(named if times is None else times, keys, join(columns), strict=False))


def _keys(day: Day, rooms: Sequence[int], times: Sequence[int], names: Sequence[bytes]) -> list[bytes]:
    name = day.recipe.clock.name
    return [
        b"%bmessages/%b%b.json" % (room_folder(day, room), name(time), identifier)
        for room, time, identifier in zip(rooms, times, names, strict=True)
    ]


def room_folder(day: Day, room: int) -> bytes:
    """The folder of a room, up to and with its `/`."""
    rooms = day.recipe.rooms
    return b"%b/chat/%b/%b/" % (day.recipe.tenant.encode(), rooms.users[rooms.owners[room]], rooms.names[room])


def any_slots(rng: Random, day: Day, count: int, begin: int, end: int) -> Slots:
    """Turns in any rooms, `begin <= time < end`."""
    times = sorted(begin + int(rng.random() * (end - begin)) for _ in range(count))
    rooms = [int(rng.random() * len(day.recipe.rooms.sizes)) for _ in range(count)]
    return Slots(times, rooms, [int(rng.random() * 2) for _ in range(count)])

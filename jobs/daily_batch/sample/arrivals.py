"""One block of a day as it arrives: the rooms' talk, and among it what comes twice, empty, late or from another day."""

from collections.abc import Sequence
from itertools import repeat
from random import Random
from typing import NamedTuple

from daily_batch.sample.columns import Columns, count, join, make_columns
from daily_batch.sample.day import Day
from daily_batch.sample.drift import apply_faults
from daily_batch.sample.rooms import Slots, rooms_between, turns_between
from daily_batch.sample.tally import Tally

SLACK_MS = 870_000  # safely within the 900 s by which a run reads beyond its day
_LATEST_EDIT_MS = 600_000


class Arrival(NamedTuple):
    """A record, the time it arrives, and in the messages layout the object's key (else empty)."""

    time: int
    key: bytes
    record: bytes


def make_block(day: Day, block: int, among: Sequence[int]) -> tuple[list[Arrival], Tally]:
    """The block's records in order of arrival, and the truth about them; `among` holds at least its rooms."""
    begin, end = day.edges[block], day.edges[block + 1]
    rng = day.spec.random("talk", block)
    present = rooms_between(day.recipe.rooms, among, begin, end)
    talk = make_columns(turns_between(day.recipe.rooms, present, begin, end), rng, day.recipe)
    apply_faults(talk, rng, day.spec.rates)
    tally = count(talk)
    arrivals = _arrive(day, talk)
    if day.recipe.rooms.sizes:
        arrivals += _twice(day, block, tally) + _empty(day, block, tally)
        if day.spec.layout == "messages":
            arrivals += _across_midnight(day, block, tally)
    if day.spec.layout == "messages":
        tally.objects["listed"] += len(arrivals)
        arrivals += _bystanders(day, block)
    arrivals.sort(key=_time)  # runs that are sorted already: cheap
    return arrivals, tally


def _time(arrival: Arrival) -> int:
    return arrival[0]


def _arrive(
    day: Day, columns: Columns, *, named: Sequence[int] | None = None, times: Sequence[int] | None = None
) -> list[Arrival]:
    """Records at `times` in objects named after `named`; both are the messages' own times where not given."""
    named = columns.slots.times if named is None else named
    keys = _keys(day, columns.slots.rooms, named, columns.names) if day.spec.layout == "messages" else repeat(b"")
    return list(map(Arrival, named if times is None else times, keys, join(columns)))


def _keys(day: Day, rooms: Sequence[int], times: Sequence[int], names: Sequence[bytes]) -> list[bytes]:
    name = day.recipe.clock.name
    return [
        b"%bmessages/%b%b.json" % (_folder(day, room), name(time), identifier)
        for room, time, identifier in zip(rooms, times, names, strict=True)
    ]


def _folder(day: Day, room: int) -> bytes:
    rooms = day.recipe.rooms
    return b"%b/chat/%b/%b/" % (day.recipe.tenant.encode(), rooms.users[rooms.owners[room]], rooms.names[room])


def _slots(rng: Random, day: Day, count: int, begin: int, end: int) -> Slots:
    """Turns in any rooms, `begin <= time < end`."""
    times = sorted(begin + int(rng.random() * (end - begin)) for _ in range(count))
    rooms = [int(rng.random() * len(day.recipe.rooms.sizes)) for _ in range(count)]
    return Slots(times, rooms, [int(rng.random() * 2) for _ in range(count)])


def _twice(day: Day, block: int, tally: Tally) -> list[Arrival]:
    """This block's messages that come twice, and the second comings of the block before (the last keeps its own)."""
    arrivals = _first_comings(day, block, tally)
    last = block == day.spec.blocks - 1
    for earlier in range(max(block - 1, 0), block + last):
        arrivals += _copies(day, earlier, block, tally) + _edits(day, earlier, block, tally)
    return arrivals


def _first_comings(day: Day, block: int, tally: Tally) -> list[Arrival]:
    copied, edited = _to_copy(day, block), _to_edit(day, block)
    tally.add(count(copied))
    tally.outcomes["superseded"] += len(edited)
    return _arrive(day, copied) + _arrive(day, edited)


def _to_copy(day: Day, block: int) -> Columns:
    return _originals(day, block, "duplicates", day.spec.rates.duplicates, day.edges[block + 1])


def _to_edit(day: Day, block: int) -> Columns:
    end = min(day.edges[block + 1], day.recipe.clock.length_ms - _LATEST_EDIT_MS - 1)
    return _originals(day, block, "superseded", day.spec.rates.superseded, end)


def _originals(day: Day, block: int, purpose: str, rate: float, end: int) -> Columns:
    rng = day.spec.random(purpose, block)
    slots = _slots(rng, day, day.spec.share(rate, block), min(day.edges[block], end - 1), end)
    columns = make_columns(slots, rng, day.recipe)
    apply_faults(columns, rng, day.spec.rates.for_twins())
    return columns


def _copies(day: Day, earlier: int, block: int, tally: Tally) -> list[Arrival]:
    """The same records again; half of them with other white space, which makes no other body."""
    columns = _to_copy(day, earlier)
    tally.outcomes["duplicates"] += len(columns)
    rng = day.spec.random("copies", earlier)
    times = columns.slots.times
    named = [time + 1 + int(rng.random() * 50) for time in times]
    again = _later(rng, day, block, times)
    return [
        arrival._replace(record=arrival.record.replace(b"{", b"{ ", at % 2))
        for at, arrival in enumerate(_arrive(day, columns, named=named, times=again))
    ]


def _edits(day: Day, earlier: int, block: int, tally: Tally) -> list[Arrival]:
    """Another body under the same id, with a later timestamp: it wins."""
    originals = _to_edit(day, earlier)
    rng = day.spec.random("edits", earlier)
    times = [time + 1_000 + int(rng.random() * (_LATEST_EDIT_MS - 1_000)) for time in originals.slots.times]
    columns = make_columns(originals.slots._replace(times=times), rng, day.recipe)
    columns.names[:] = originals.names
    columns.ids[:] = [day.recipe.style.member("message_id", b'"%b"' % name) for name in originals.names]
    tally.add(count(columns))
    return _arrive(day, columns, times=_later(rng, day, block, times))


def _later(rng: Random, day: Day, block: int, times: Sequence[int]) -> list[int]:
    begin, end = day.edges[block], day.edges[block + 1]
    return [max(begin, time) + int(rng.random() * max(end - max(begin, time), 1)) for time in times]


def _empty(day: Day, block: int, tally: Tally) -> list[Arrival]:
    """Records without a message; a file can hold no record of no bytes."""
    rng = day.spec.random("empty", block)
    slots = _slots(rng, day, day.spec.share(day.spec.rates.empty, block), day.edges[block], day.edges[block + 1])
    forms = (b"{}", b"null", b"") if day.spec.layout == "messages" else (b"{}", b"null")
    columns = make_columns(slots, rng, day.recipe)
    columns.damaged.update((at, forms[at % len(forms)]) for at in range(len(columns)))
    tally.outcomes["empty"] += len(columns)
    return _arrive(day, columns)


def _across_midnight(day: Day, block: int, tally: Tally) -> list[Arrival]:
    """Objects whose names and bodies fall on different sides of the day's edges, within the slack."""
    spec, length = day.spec, day.recipe.clock.length_ms
    rates, whole = spec.rates, spec.blocks
    arrivals: list[Arrival] = []
    for edge, side, at_block in ((0, -1, 0), (length, 1, whole - 1)):
        if block != at_block:
            continue
        rng = spec.random("midnight", edge)
        others = sum(spec.share(rates.other_day, each) for each in range(whole)) + (side < 0)
        foreign = _slots(rng, day, others // 2, *_beside(edge, side))
        named = [edge + int((2 * rng.random() - 1) * SLACK_MS) for _ in foreign.times]
        arrivals += _arrive(day, make_columns(foreign, rng, day.recipe), named=named)
        tally.outcomes["other_day"] += len(named)
        late = sum(spec.share(rates.late_name, each) for each in range(whole)) + (side < 0)
        own = _slots(rng, day, late // 2, *_beside(edge, -side))
        named = [edge + side * (1_000 + int(rng.random() * (SLACK_MS - 1_000))) for _ in own.times]
        columns = make_columns(own, rng, day.recipe)
        tally.add(count(columns))
        arrivals += _arrive(day, columns, named=named)
    return arrivals


def _beside(edge: int, side: int) -> tuple[int, int]:
    return (edge - SLACK_MS, edge - 1_000) if side < 0 else (edge + 1_000, edge + SLACK_MS)


def _bystanders(day: Day, block: int) -> list[Arrival]:
    """Objects that no run of this day may read: other folders of a room, other days, hours beyond the slack."""
    rng = day.spec.random("bystanders", block)
    wanted = day.spec.share(day.spec.rates.bystanders, block) if day.recipe.rooms.sizes else 0
    slots = _slots(rng, day, wanted, day.edges[block], day.edges[block + 1])
    hour, length = 3_600_000, day.recipe.clock.length_ms
    strangers = make_columns(slots, rng, day.recipe)
    moved = [-2 * hour - time % (4 * hour) if time % 2 else length + hour + time % (4 * hour) for time in slots.times]
    messages = _arrive(day, strangers, named=moved)
    for at, kind in enumerate((b"uploads/photo.png", b"generated/image.png", b"thumbnails/photo.webp")):
        for number in range(at, wanted, 6):
            key = _folder(day, slots.rooms[number]) + kind
            messages[number] = messages[number]._replace(key=key, record=b"\x89PNG\r\n\x1a\n")
    return [arrival._replace(time=time) for arrival, time in zip(messages, slots.times, strict=True)]

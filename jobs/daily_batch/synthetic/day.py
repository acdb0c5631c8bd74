"""A generated day: what all its blocks share, and messages as columns, one list for each member of the JSON record.

A member of most messages is made by one expression over a whole list. Drift and corruption then overwrite single
cells, so that they cost only where they occur.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress
from random import Random
from struct import unpack
from typing import TypeVar

from daily_batch.domain.codes import Flag, Reason
from daily_batch.synthetic.content import COMPACT, POOL, PRETTY, Pools, Style, Tail, build_pools, quote
from daily_batch.synthetic.expected_counts import Tally
from daily_batch.synthetic.rooms import Clock, Rooms, Slots, cut_day, make_clock, plan_rooms, rooms_between
from daily_batch.synthetic.spec import DaySpec

Entry = TypeVar("Entry")
TURN_ROLES = ("user", "assistant")


@dataclass(frozen=True)
class Day:
    """What all blocks of a day share; `edges` are the blocks' boundaries in milliseconds from the day's start.

    `user_members` and `room_members` hold the JSON members of each room.
    """

    spec: DaySpec
    style: Style
    clock: Clock
    rooms: Rooms
    pools: Pools
    user_members: tuple[bytes, ...]
    room_members: tuple[bytes, ...]
    edges: tuple[int, ...]

    def active_rooms(self, first_block: int, last_block: int) -> list[int]:
        """Return the rooms that have messages in any of the blocks, the last block included."""
        every = range(len(self.rooms.sizes))
        return rooms_between(self.rooms, every, self.edges[first_block], self.edges[last_block + 1])


def plan_day(spec: DaySpec) -> Day:
    """Return everything that the blocks of the day share."""
    style = COMPACT if spec.layout == "export" else PRETTY
    clock = make_clock(spec.day, spec.zone)
    rates = spec.rates
    delivered_twice = spec.total(rates.duplicates) + spec.total(rates.superseded)
    rooms = plan_rooms(
        spec.random("rooms"),
        messages=spec.messages - delivered_twice,
        day_ms=clock.length_ms,
        odd_names=rates.odd_names if spec.layout == "messages" else 0.0,
    )
    return Day(
        spec=spec,
        style=style,
        clock=clock,
        rooms=rooms,
        pools=build_pools(spec.random("pools"), style),
        user_members=tuple(style.member("user_id", b'"%b"' % rooms.users[owner]) for owner in rooms.owners),
        room_members=tuple(style.member("room_id", b'"%b"' % name) for name in rooms.names),
        edges=tuple(cut_day(rooms, day_ms=clock.length_ms, parts=spec.blocks)),
    )


@dataclass
class Columns:
    """Some messages as columns; cell `i` of every list belongs to message `i`.

    The lists from `ids` to `contents` and `extras` hold JSON members with their commas: `contents` is the last member
    and has none, `tails` and `extras` begin with theirs. `names` are the ids in the objects' keys. `overrides` holds
    whole records that replace the joined members. `rejected` gives the reason for which a message is not published.
    """

    day: Day
    slots: Slots
    names: list[bytes]
    ids: list[bytes]
    users: list[bytes]
    rooms: list[bytes]
    times: list[bytes]
    roles: list[bytes]
    contents: list[bytes]
    tails: list[Tail]
    extras: dict[int, bytes]
    role_names: list[str]
    lengths: list[int]
    flags: list[tuple[Flag, int]] = field(default_factory=list)
    overrides: dict[int, bytes] = field(default_factory=dict)
    rejected: dict[int, Reason] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    def timestamp(self, at: int) -> bytes:
        """Return the message's time in UTC as its body has it, without the zone."""
        return self.day.clock.format_timestamp(self.slots.times[at])


def make_columns(slots: Slots, rng: Random, day: Day) -> Columns:
    """Return messages without faults, one for each slot."""
    clock, style, pools = day.clock, day.style, day.pools
    count = len(slots.times)
    digits = rng.randbytes(8 * count).hex().encode()
    names = [b"msg_" + digits[at : at + 16] for at in range(0, 16 * count, 16)]
    bits = unpack(f"<{4 * count}H", rng.randbytes(8 * count))  # little-endian on every machine
    bases = [POOL if turn & 1 else 0 for turn in slots.turns]
    beginnings, middles, ends = (
        _pick(pool, bits[at::4], bases) for at, pool in enumerate((pools.beginnings, pools.middles, pools.ends))
    )
    id_form, time_form = style.member("message_id", b'"%b"'), style.member("timestamp", b'"%bZ"')
    content_form = style.member("content", b'"%b"').removesuffix(b",")
    roles = [style.member("role", quote(name)) for name in TURN_ROLES]
    return Columns(
        day=day,
        slots=slots,
        names=names,
        ids=[id_form % name for name in names],
        users=[day.user_members[room] for room in slots.rooms],
        rooms=[day.room_members[room] for room in slots.rooms],
        times=[time_form % time for time in map(clock.format_timestamp, slots.times)],
        roles=[roles[turn & 1] for turn in slots.turns],
        contents=[content_form % (a[0] + b[0] + c[0]) for a, b, c in zip(beginnings, middles, ends, strict=True)],
        tails=_pick(pools.tails, bits[3::4], bases),
        extras={},
        role_names=[TURN_ROLES[turn & 1] for turn in slots.turns],
        lengths=[a[1] + b[1] + c[1] for a, b, c in zip(beginnings, middles, ends, strict=True)],
    )


def _pick(pool: tuple[Entry, ...], bits: Sequence[int], bases: Sequence[int]) -> list[Entry]:
    return [pool[(bit & (POOL - 1)) + base] for bit, base in zip(bits, bases, strict=True)]


def render_records(columns: Columns) -> list[bytes]:
    """Return the JSON records without line ends."""
    style = columns.day.style
    form = style.begin + b"%b" * 7 + style.end
    tails = [tail[0] for tail in columns.tails]
    for at, extra in columns.extras.items():
        tails[at] += extra
    members = (columns.ids, columns.users, columns.rooms, columns.times, columns.roles, columns.contents, tails)
    records = [form % row for row in zip(*members, strict=True)]
    for at, record in columns.overrides.items():
        records[at] = record
    return records


def count_messages(columns: Columns) -> Tally:
    """Count what a run must report for these messages: each is written or rejected."""
    written = bytearray(b"\x01") * len(columns)
    for at in columns.rejected:
        written[at] = 0
    tally = Tally()
    tally.outcomes["written"] = sum(written)
    tally.outcomes["rejected"] = len(columns.rejected)
    tally.rejects.update(columns.rejected.values())
    tally.flags.update(flag for flag, at in columns.flags if written[at])
    tally.roles.update(compress(columns.role_names, written))
    tally.hours.update(map(columns.day.clock.local_hour, compress(columns.slots.times, written)))
    tally.sums["length"] = sum(compress(columns.lengths, written))
    tally.sums["tokens"] = sum(tail[1] for tail in compress(columns.tails, written))
    tally.sums["attachments"] = sum(tail[2] for tail in compress(columns.tails, written))
    tally.rooms.update(compress(columns.slots.rooms, written))
    tally.users.update(columns.day.rooms.owners[room] for room in tally.rooms)
    return tally

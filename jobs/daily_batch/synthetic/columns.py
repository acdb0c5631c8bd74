"""Messages by the thousand: one list for each member of the record, joined to lines at the end.

A member of most messages is made by one expression over a whole list; drift and damage (drift.py) then overwrite
single cells, so that they cost only where they happen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress
from random import Random
from struct import unpack
from typing import TypeVar

from daily_batch.domain.codes import Flag, Reason
from daily_batch.domain.run import Layout
from daily_batch.synthetic.clock import Clock
from daily_batch.synthetic.expected_counts import Tally
from daily_batch.synthetic.fragments import POOL, Pools, Tail
from daily_batch.synthetic.layouts import Style, quote
from daily_batch.synthetic.rooms import Rooms, Slots

Entry = TypeVar("Entry")
TURN_ROLES = ("user", "assistant")


@dataclass(frozen=True)
class Recipe:
    """What every message of a day is made with."""

    tenant: str
    layout: Layout
    style: Style
    clock: Clock
    rooms: Rooms
    pools: Pools
    user_members: tuple[bytes, ...]
    room_members: tuple[bytes, ...]


@dataclass
class Columns:
    """Some messages; cell `i` of every list belongs to message `i`.

    `ids` to `contents` and `extras` hold members with their commas (`contents` is the last and has none; `tails` and
    `extras` begin with theirs). `names` are the ids in the file names. `damaged` holds whole records that replace the
    joined members; `lost` says why a message is not published.
    """

    recipe: Recipe
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
    damaged: dict[int, bytes] = field(default_factory=dict)
    lost: dict[int, Reason] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    def moment(self, at: int) -> bytes:
        """The message's time as its body writes it, without the zone."""
        return self.recipe.clock.body(self.slots.times[at])


def make_columns(slots: Slots, rng: Random, recipe: Recipe) -> Columns:
    """Messages as specified, for every slot."""
    clock, style, pools = recipe.clock, recipe.style, recipe.pools
    count = len(slots.times)
    digits = rng.randbytes(8 * count).hex().encode()
    names = [b"msg_" + digits[at : at + 16] for at in range(0, 16 * count, 16)]
    bits = unpack(f"<{4 * count}H", rng.randbytes(8 * count))  # little-endian wherever it runs
    agent = [POOL if turn & 1 else 0 for turn in slots.turns]
    beginnings, middles, ends = (
        _pick(pool, bits[at::4], agent) for at, pool in enumerate((pools.beginnings, pools.middles, pools.ends))
    )
    an_id, a_time = style.member("message_id", b'"%b"'), style.member("timestamp", b'"%bZ"')
    a_content = style.member("content", b'"%b"').removesuffix(b",")
    roles = [style.member("role", quote(name)) for name in TURN_ROLES]
    return Columns(
        recipe=recipe,
        slots=slots,
        names=names,
        ids=[an_id % name for name in names],
        users=[recipe.user_members[room] for room in slots.rooms],
        rooms=[recipe.room_members[room] for room in slots.rooms],
        times=[a_time % time for time in map(clock.body, slots.times)],
        roles=[roles[turn & 1] for turn in slots.turns],
        contents=[a_content % (a[0] + b[0] + c[0]) for a, b, c in zip(beginnings, middles, ends, strict=True)],
        tails=_pick(pools.tails, bits[3::4], agent),
        extras={},
        role_names=[TURN_ROLES[turn & 1] for turn in slots.turns],
        lengths=[a[1] + b[1] + c[1] for a, b, c in zip(beginnings, middles, ends, strict=True)],
    )


def _pick(pool: tuple[Entry, ...], bits: Sequence[int], base: Sequence[int]) -> list[Entry]:
    return [pool[(bit & (POOL - 1)) + half] for bit, half in zip(bits, base, strict=True)]


def join(columns: Columns) -> list[bytes]:
    """The records as bytes, without a line's end."""
    begin, end = columns.recipe.style.begin, columns.recipe.style.end
    form = begin + b"%b" * 7 + end
    tails = [tail[0] for tail in columns.tails]
    for at, extra in columns.extras.items():
        tails[at] += extra
    members = (columns.ids, columns.users, columns.rooms, columns.times, columns.roles, columns.contents, tails)
    records = [form % row for row in zip(*members, strict=True)]
    for at, record in columns.damaged.items():
        records[at] = record
    return records


def count(columns: Columns) -> Tally:
    """What a run must count for these messages: published, but for those that are lost."""
    kept = bytearray(b"\x01") * len(columns)
    for at in columns.lost:
        kept[at] = 0
    tally = Tally()
    tally.outcomes["written"] = sum(kept)
    tally.outcomes["rejected"] = len(columns.lost)
    tally.rejects.update(columns.lost.values())
    tally.flags.update(flag for flag, at in columns.flags if kept[at])
    tally.roles.update(compress(columns.role_names, kept))
    tally.hours.update(map(columns.recipe.clock.hour, compress(columns.slots.times, kept)))
    tally.sums["length"] = sum(compress(columns.lengths, kept))
    tally.sums["tokens"] = sum(tail[1] for tail in compress(columns.tails, kept))
    tally.sums["attachments"] = sum(tail[2] for tail in compress(columns.tails, kept))
    tally.rooms.update(compress(columns.slots.rooms, kept))
    tally.users.update(columns.recipe.rooms.owners[room] for room in tally.rooms)
    return tally

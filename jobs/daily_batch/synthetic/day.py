"""A day to be generated: what was asked for, and what all its blocks share."""

from dataclasses import dataclass
from datetime import date
from random import Random

from daily_batch.domain.run import Layout
from daily_batch.synthetic.clock import read_clock
from daily_batch.synthetic.columns import Recipe
from daily_batch.synthetic.fragments import build_pools
from daily_batch.synthetic.layouts import COMPACT, PRETTY
from daily_batch.synthetic.rates import FaultRates
from daily_batch.synthetic.rooms import cut_day, plan_rooms, rooms_between

BLOCK_MESSAGES = 16_384  # as many are in memory at once


@dataclass(frozen=True, kw_only=True)
class DaySpec:
    """What determines every byte of a day. It is cut into `blocks` slices of time, each made by itself."""

    messages: int
    layout: Layout
    seed: int
    tenant: str
    day: date
    zone: str
    rates: FaultRates
    blocks: int

    def random(self, purpose: str, block: int = 0) -> Random:
        """Random numbers of their own for each purpose and block, so that blocks do not depend on each other."""
        return Random(f"{self.seed}/{self.tenant}/{purpose}/{block}")  # noqa: S311  (reproducible, not secret)

    def total(self, rate: float) -> int:
        """How often something happens in the day that happens at a rate of all messages."""
        return int(self.messages * rate + 0.5)

    def share(self, rate: float, block: int) -> int:
        """The block's part of that."""
        total = self.total(rate)
        return total * (block + 1) // self.blocks - total * block // self.blocks


@dataclass(frozen=True)
class Day:
    """The spec with its rooms, pools and the edges of its blocks, milliseconds from the day's start."""

    spec: DaySpec
    recipe: Recipe
    edges: tuple[int, ...]

    def rooms_of(self, first_block: int, last_block: int) -> list[int]:
        """Rooms that talk in any of the blocks, the last included."""
        among = range(len(self.recipe.rooms.sizes))
        return rooms_between(self.recipe.rooms, among, self.edges[first_block], self.edges[last_block + 1])


def plan_day(spec: DaySpec) -> Day:
    """Everything that the blocks of the day share."""
    style = COMPACT if spec.layout == "export" else PRETTY
    clock = read_clock(spec.day, spec.zone)
    rates = spec.rates
    apart = spec.total(rates.duplicates) + spec.total(rates.superseded)
    rooms = plan_rooms(
        spec.random("rooms"),
        messages=spec.messages - apart,
        day_ms=clock.length_ms,
        odd_names=rates.odd_names if spec.layout == "messages" else 0.0,
    )
    recipe = Recipe(
        tenant=spec.tenant,
        layout=spec.layout,
        style=style,
        clock=clock,
        rooms=rooms,
        pools=build_pools(spec.random("pools"), style),
        user_members=tuple(style.member("user_id", b'"%b"' % rooms.users[owner]) for owner in rooms.owners),
        room_members=tuple(style.member("room_id", b'"%b"' % name) for name in rooms.names),
    )
    return Day(spec, recipe, tuple(cut_day(rooms, day_ms=clock.length_ms, parts=spec.blocks)))

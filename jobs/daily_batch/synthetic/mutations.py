"""Mutations of single cells of the columns, of which schema drift and corruption are made."""

from collections.abc import Callable, Collection
from random import Random

from daily_batch.domain.run import Layout
from daily_batch.synthetic.content import Tail
from daily_batch.synthetic.day import Columns

Mutation = Callable[[Columns, int], None]
BOTH: tuple[Layout, ...] = ("messages", "export")
PATH_ONLY: tuple[Layout, ...] = ("messages",)


def replace_member(column: str, name: str, value: Callable[[Columns, int], bytes]) -> Mutation:
    """Replace a member by another name and value."""

    def mutate(columns: Columns, at: int) -> None:
        getattr(columns, column)[at] = columns.day.style.member(name, value(columns, at))

    return mutate


def drop_member(column: str) -> Mutation:
    """Omit a member."""

    def mutate(columns: Columns, at: int) -> None:
        getattr(columns, column)[at] = b""

    return mutate


def add_members(members: Callable[[Columns, int], dict[str, object]]) -> Mutation:
    """Append members to the record."""

    def mutate(columns: Columns, at: int) -> None:
        columns.extras[at] = columns.extras.get(at, b"") + columns.day.style.tail(members(columns, at))

    return mutate


def swap_tail(pool: str) -> Mutation:
    """Draw the optional members from another pool."""

    def mutate(columns: Columns, at: int) -> None:
        tails: tuple[Tail, ...] = getattr(columns.day.pools, pool)
        columns.tails[at] = tails[columns.names[at][-1] % len(tails)]

    return mutate


def quote_id(columns: Columns, at: int) -> bytes:
    """Return the message's own id as JSON."""
    return b'"%b"' % columns.names[at]


def choose_cells(rng: Random, count: int, rate: float, taken: Collection[int]) -> list[int]:
    """Return different positions below `count` at the rate, none of them taken; add them to `taken` if it is a set."""
    wanted = int(count * rate + rng.random()) if rate else 0
    chosen = sorted({int(rng.random() * count) for _ in range(wanted)}.difference(taken))
    if isinstance(taken, set):
        taken.update(chosen)
    return chosen

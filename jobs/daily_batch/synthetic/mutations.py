"""Changes to single cells of columns, from which drift and damage are made."""

from collections.abc import Callable

from daily_batch.domain.run import Layout
from daily_batch.synthetic.columns import Columns
from daily_batch.synthetic.fragments import Tail

Change = Callable[[Columns, int], None]
BOTH: tuple[Layout, ...] = ("messages", "export")
PATH_ONLY: tuple[Layout, ...] = ("messages",)


def member(column: str, name: str, value: Callable[[Columns, int], bytes]) -> Change:
    """Send another member in its place."""

    def change(columns: Columns, at: int) -> None:
        getattr(columns, column)[at] = columns.recipe.style.member(name, value(columns, at))

    return change


def drop(column: str) -> Change:
    """Leave a member out."""

    def change(columns: Columns, at: int) -> None:
        getattr(columns, column)[at] = b""

    return change


def extra(members: Callable[[Columns, int], dict[str, object]]) -> Change:
    """Send more members at the end."""

    def change(columns: Columns, at: int) -> None:
        columns.extras[at] = columns.extras.get(at, b"") + columns.recipe.style.tail(members(columns, at))

    return change


def swap_tail(pool: str) -> Change:
    """Take the optional members from another pool."""

    def change(columns: Columns, at: int) -> None:
        tails: tuple[Tail, ...] = getattr(columns.recipe.pools, pool)
        columns.tails[at] = tails[columns.names[at][-1] % len(tails)]

    return change


def text_id(columns: Columns, at: int) -> bytes:
    """The message's own id, as JSON."""
    return b'"%b"' % columns.names[at]

"""What breaks in a record: what a run must reject, and for which reason."""

from dataclasses import dataclass
from datetime import timedelta

from daily_batch.domain.codes import Reason
from daily_batch.domain.run import Layout
from daily_batch.synthetic.columns import Columns
from daily_batch.synthetic.mutations import BOTH, Change, drop, member, text_id

_STALE = timedelta(days=30)


@dataclass(frozen=True)
class Damage:
    """One way to spoil a record."""

    change: Change
    layouts: tuple[Layout, ...] = BOTH


def _whole(record: bytes) -> Change:
    def change(columns: Columns, at: int) -> None:
        columns.damaged[at] = record

    return change


def _cut_short(columns: Columns, at: int) -> None:
    style = columns.recipe.style
    content = columns.contents[at].decode()
    # Cut between characters: a broken character would be another fault.
    half = content[: len(content) // 2].encode()
    columns.damaged[at] = style.begin + style.member("message_id", text_id(columns, at)) + columns.times[at] + half


def _spoil(member: bytes) -> Change:
    """Put bytes behind the last member."""

    def change(columns: Columns, at: int) -> None:
        tail = columns.tails[at]
        columns.tails[at] = tail._replace(json=tail.json + b"," + columns.recipe.style.pad + member)

    return change


def _stale(columns: Columns, at: int) -> bytes:
    day = columns.recipe.clock.day - _STALE
    return b'"%b%bZ"' % (day.isoformat().encode(), columns.moment(at)[10:])


def _value(column: str, name: str, value: bytes) -> Damage:
    return Damage(member(column, name, lambda columns, at: value))


DAMAGES: dict[Reason, tuple[Damage, ...]] = {
    Reason.INVALID_JSON: (
        Damage(_cut_short),
        Damage(_spoil(b'"latency": NaN')),
        Damage(_spoil(b"")),
        Damage(_whole(b"{'message_id': 'm1', 'role': 'user', 'content': 'hello'}")),
    ),
    Reason.INVALID_UTF8: (Damage(_spoil(b'"note": "\xff\xfe"')), Damage(_spoil(b'"note": "\xc0\xaf"'))),
    Reason.DUPLICATE_KEY: (Damage(_spoil(b'"content": "again"')),),
    # A line that begins with a bracket: behind a record that is cut short any other one would belong to that.
    Reason.NOT_AN_OBJECT: (Damage(_whole(b"[42]")), Damage(_whole(b'["text"]')), Damage(_whole(b"[true]"))),
    Reason.INVALID_TIMESTAMP: (
        _value("times", "timestamp", b'"yesterday"'),
        _value("times", "timestamp", b'"2025-13-45T99:99:99Z"'),
    ),
    Reason.INVALID_ID: (
        _value("ids", "message_id", b'["a"]'),
        _value("ids", "message_id", b'"%b"' % (b"m" * 600)),
        Damage(drop("ids"), ("export",)),
        Damage(member("users", "user_id", lambda columns, at: b'"%b"' % (b"u" * 600)), ("export",)),
        Damage(drop("rooms"), ("export",)),
    ),
    Reason.TIMESTAMP_OUTSIDE_WINDOW: (Damage(member("times", "timestamp", _stale)),),
}

"""Corrupted records: what a run must reject, and for which reason."""

from dataclasses import dataclass
from datetime import timedelta
from random import Random

from daily_batch.domain.codes import Reason
from daily_batch.domain.run import Layout
from daily_batch.synthetic.day import Columns
from daily_batch.synthetic.mutations import BOTH, Mutation, choose_cells, drop_member, quote_id, replace_member
from daily_batch.synthetic.spec import FaultRates

_OUTSIDE_WINDOW = timedelta(days=30)


@dataclass(frozen=True)
class Corruption:
    """One way to corrupt a record."""

    mutate: Mutation
    layouts: tuple[Layout, ...] = BOTH


def _replace(record: bytes) -> Mutation:
    def mutate(columns: Columns, at: int) -> None:
        columns.overrides[at] = record

    return mutate


def _truncate(columns: Columns, at: int) -> None:
    style = columns.day.style
    content = columns.contents[at].decode()
    # Truncated between characters: a broken character would be another reason.
    half = content[: len(content) // 2].encode()
    columns.overrides[at] = style.begin + style.member("message_id", quote_id(columns, at)) + columns.times[at] + half


def _append(member: bytes) -> Mutation:
    """Append bytes after the last member."""

    def mutate(columns: Columns, at: int) -> None:
        tail = columns.tails[at]
        columns.tails[at] = tail._replace(json=tail.json + b"," + columns.day.style.pad + member)

    return mutate


def _distant_timestamp(columns: Columns, at: int) -> bytes:
    day = columns.day.clock.day - _OUTSIDE_WINDOW
    return b'"%b%bZ"' % (day.isoformat().encode(), columns.timestamp(at)[10:])


def _with_value(column: str, name: str, value: bytes) -> Corruption:
    return Corruption(replace_member(column, name, lambda columns, at: value))


CORRUPTIONS: dict[Reason, tuple[Corruption, ...]] = {
    Reason.INVALID_JSON: (
        Corruption(_truncate),
        Corruption(_append(b'"latency": NaN')),
        Corruption(_append(b"")),
        Corruption(_replace(b"{'message_id': 'm1', 'role': 'user', 'content': 'hello'}")),
    ),
    Reason.INVALID_UTF8: (Corruption(_append(b'"note": "\xff\xfe"')), Corruption(_append(b'"note": "\xc0\xaf"'))),
    Reason.DUPLICATE_KEY: (Corruption(_append(b'"content": "again"')),),
    # Lines that begin with a bracket: after a truncated record any other line would be read as its continuation.
    Reason.NOT_AN_OBJECT: (
        Corruption(_replace(b"[42]")),
        Corruption(_replace(b'["text"]')),
        Corruption(_replace(b"[true]")),
    ),
    Reason.INVALID_TIMESTAMP: (
        _with_value("times", "timestamp", b'"yesterday"'),
        _with_value("times", "timestamp", b'"2025-13-45T99:99:99Z"'),
    ),
    Reason.INVALID_ID: (
        _with_value("ids", "message_id", b'["a"]'),
        _with_value("ids", "message_id", b'"%b"' % (b"m" * 600)),
        Corruption(drop_member("ids"), ("export",)),
        Corruption(replace_member("users", "user_id", lambda columns, at: b'"%b"' % (b"u" * 600)), ("export",)),
        Corruption(drop_member("rooms"), ("export",)),
    ),
    Reason.TIMESTAMP_OUTSIDE_WINDOW: (Corruption(replace_member("times", "timestamp", _distant_timestamp)),),
}


def apply_corruption(columns: Columns, rng: Random, rates: FaultRates) -> None:
    """Corrupt some of the messages, at the given rates; no message twice."""
    layout = columns.day.spec.layout
    for reason, corruptions in CORRUPTIONS.items():
        usable = [corruption for corruption in corruptions if layout in corruption.layouts]
        first = int(rng.random() * len(usable))
        chosen = choose_cells(rng, len(columns), getattr(rates, _rate_of(reason)), columns.rejected)
        for turn, at in enumerate(chosen, first):
            usable[turn % len(usable)].mutate(columns, at)
            columns.rejected[at] = reason


def _rate_of(reason: Reason) -> str:
    return "outside_window" if reason is Reason.TIMESTAMP_OUTSIDE_WINDOW else reason.value

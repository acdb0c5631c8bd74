"""What goes wrong in a message: how the writers drift, which the run repairs, and what it must reject."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from random import Random

from daily_batch.contract import Flag, Reason
from daily_batch.plan import Layout
from daily_batch.sample.columns import Columns
from daily_batch.sample.fragments import Tail
from daily_batch.sample.rates import FaultRates
from daily_batch.sample.style import quote

Change = Callable[[Columns, int], None]
BOTH: tuple[Layout, ...] = ("messages", "export")
PATH_ONLY: tuple[Layout, ...] = ("messages",)
_STALE = timedelta(days=30)


@dataclass(frozen=True)
class Drift:
    """One habit of the writers: its rate's name, the member it touches (one habit a member), the flag it earns."""

    rate: str
    member: str
    flag: Flag | None
    change: Change
    layouts: tuple[Layout, ...] = BOTH


def apply_faults(columns: Columns, rng: Random, rates: FaultRates) -> None:
    """Drift and damage some of the messages, at the given rates."""
    layout = columns.recipe.layout
    taken: dict[str, set[int]] = {}
    for drift in DRIFTS:
        if layout not in drift.layouts:
            continue
        others = taken.setdefault(drift.member, set())
        for at in _choose(rng, len(columns), getattr(rates, drift.rate), others):
            drift.change(columns, at)
            if drift.flag is not None:
                columns.flags.append((drift.flag, at))
    for reason, damages in DAMAGES.items():
        usable = [damage for damage in damages if layout in damage.layouts]
        for at in _choose(rng, len(columns), getattr(rates, _rate(reason)), columns.lost):
            usable[int(rng.random() * len(usable))].change(columns, at)
            columns.lost[at] = reason


def _rate(reason: Reason) -> str:
    return "outside_window" if reason is Reason.TIMESTAMP_OUTSIDE_WINDOW else reason.value


def _choose(rng: Random, count: int, rate: float, taken: Collection[int]) -> list[int]:
    """Different places at the rate, none of them taken; a set that is given takes them in."""
    wanted = int(count * rate + rng.random()) if rate else 0
    chosen = sorted({int(rng.random() * count) for _ in range(wanted)}.difference(taken))
    if isinstance(taken, set):
        taken.update(chosen)
    return chosen


def _member(column: str, name: str, value: Callable[[Columns, int], bytes]) -> Change:
    def change(columns: Columns, at: int) -> None:
        getattr(columns, column)[at] = columns.recipe.style.member(name, value(columns, at))

    return change


def _drop(column: str) -> Change:
    def change(columns: Columns, at: int) -> None:
        getattr(columns, column)[at] = b""

    return change


def _extra(members: Callable[[Columns, int], dict[str, object]]) -> Change:
    def change(columns: Columns, at: int) -> None:
        columns.extras[at] = columns.extras.get(at, b"") + columns.recipe.style.tail(members(columns, at))

    return change


def _swap_tail(pool: str) -> Change:
    def change(columns: Columns, at: int) -> None:
        tails: tuple[Tail, ...] = getattr(columns.recipe.pools, pool)
        columns.tails[at] = tails[columns.names[at][-1] % len(tails)]

    return change


def _number(columns: Columns, at: int) -> bytes:
    columns.names[at] = b"%d" % (10**24 + int(columns.names[at][4:], 16))
    return columns.names[at]


def _respell(columns: Columns, at: int) -> bytes:
    role = columns.role_names[at]
    return quote(role.upper() if at % 2 else role.capitalize())


def _other_role(columns: Columns, at: int) -> bytes:
    columns.role_names[at] = "tool"
    return b'"tool"'


def _no_content(value: bytes) -> Change:
    def change(columns: Columns, at: int) -> None:
        columns.contents[at] = columns.recipe.style.member("content", value).removesuffix(b",")
        columns.lengths[at] = 0

    return change


def _since_1970(columns: Columns, at: int) -> bytes:
    return b"%d" % (columns.recipe.clock.start_ms + columns.slots.times[at])


def _room(columns: Columns, at: int) -> bytes:
    return b'"%b"' % columns.recipe.rooms.names[columns.slots.rooms[at]]


def _id(columns: Columns, at: int) -> bytes:
    return b'"%b"' % columns.names[at]


def _unlisted(columns: Columns, at: int) -> dict[str, object]:
    client = {"version": f"4.{at % 7}", "platform": ("iOS", "Android", "web")[at % 3], "locale": "ja-JP"}
    return {"client": client, "feedback": None} if at % 2 else {"client": client, "パーソナ": {"名前": "アシスタント"}}


DRIFTS = (
    Drift("numeric_id", "id", Flag.NUMERIC_ID, _member("ids", "message_id", _number)),
    Drift("id_alias", "id", Flag.MESSAGE_ID_FROM_ALIAS, _member("ids", "id", _id)),
    Drift("missing_message_id", "id", Flag.MESSAGE_ID_FROM_PATH, _drop("ids"), PATH_ONLY),
    Drift("missing_user", "user", Flag.USER_ID_FROM_PATH, _drop("users"), PATH_ONLY),
    Drift(
        "user_conflict",
        "user",
        Flag.USER_CONFLICT,
        _member("users", "user_id", lambda columns, at: b'"someone_else"'),
        PATH_ONLY,
    ),
    Drift("room_alias", "room", Flag.ROOM_ID_FROM_ALIAS, _member("rooms", "chat_id", _room)),
    Drift("missing_room", "room", Flag.ROOM_ID_FROM_PATH, _drop("rooms"), PATH_ONLY),
    Drift(
        "room_conflict",
        "room",
        Flag.ROOM_CONFLICT,
        _member("rooms", "room_id", lambda columns, at: b'"another_room"'),
        PATH_ONLY,
    ),
    Drift(
        "naive_timestamp",
        "time",
        Flag.NAIVE_TIMESTAMP,
        _member("times", "timestamp", lambda columns, at: b'"%b%03d"' % (columns.moment(at), at % 1000)),
    ),
    Drift("missing_timestamp", "time", Flag.TIMESTAMP_FROM_PATH, _drop("times"), PATH_ONLY),
    Drift("epoch_timestamp", "time", Flag.TIMESTAMP_FORMAT, _member("times", "timestamp", _since_1970)),
    Drift("role_case", "role", Flag.ROLE_CASE, _member("roles", "role", _respell)),
    Drift("unknown_role", "role", Flag.UNKNOWN_ROLE, _member("roles", "role", _other_role)),
    Drift("null_content", "content", Flag.NULL_CONTENT, _no_content(b"null")),
    Drift("empty_content", "content", Flag.EMPTY_CONTENT, _no_content(b'""')),
    Drift("images_alias", "tail", Flag.ALIASED_FIELD, _swap_tail("images_alias")),
    Drift("crawl_sources", "tail", Flag.ALIASED_FIELD, _swap_tail("crawl_sources")),
    Drift("top_crawl_sources", "tail", Flag.ALIASED_FIELD, _swap_tail("top_crawl_sources")),
    Drift("rag_content", "tail", Flag.ALIASED_FIELD, _swap_tail("rag_content")),
    Drift("unknown_fields", "extras", None, _extra(_unlisted)),
    Drift("tenant_conflict", "tenant", Flag.TENANT_CONFLICT, _extra(lambda columns, at: {"tenant_id": "someone-else"})),
)


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
    columns.damaged[at] = style.begin + style.member("message_id", _id(columns, at)) + columns.times[at] + half


def _spoil(member: bytes) -> Change:
    """Put bytes behind the last member."""

    def change(columns: Columns, at: int) -> None:
        columns.tails[at] = replace_json(columns.tails[at], b"," + columns.recipe.style.pad + member)

    return change


def replace_json(tail: Tail, more: bytes) -> Tail:
    """The tail with more bytes behind it."""
    return tail._replace(json=tail.json + more)


def _stale(columns: Columns, at: int) -> bytes:
    day = columns.recipe.clock.day - _STALE
    return b'"%b%bZ"' % (day.isoformat().encode(), columns.moment(at)[10:])


def _value(column: str, name: str, value: bytes) -> Damage:
    return Damage(_member(column, name, lambda columns, at: value))


DAMAGES: dict[Reason, tuple[Damage, ...]] = {
    Reason.INVALID_JSON: (
        Damage(_cut_short),
        Damage(_spoil(b'"latency": NaN')),
        Damage(_spoil(b"")),
        Damage(_whole(b"{'message_id': 'm1', 'role': 'user', 'content': 'hello'}")),
    ),
    Reason.INVALID_UTF8: (Damage(_spoil(b'"note": "\xff\xfe"')), Damage(_spoil(b'"note": "\xc0\xaf"'))),
    Reason.DUPLICATE_KEY: (Damage(_spoil(b'"content": "again"')),),
    Reason.NOT_AN_OBJECT: (Damage(_whole(b"42")), Damage(_whole(b'"text"')), Damage(_whole(b"true"))),
    Reason.INVALID_TIMESTAMP: (
        _value("times", "timestamp", b'"yesterday"'),
        _value("times", "timestamp", b'"2025-13-45T99:99:99Z"'),
    ),
    Reason.INVALID_ID: (
        _value("ids", "message_id", b'["a"]'),
        _value("ids", "message_id", b'"%b"' % (b"m" * 600)),
        Damage(_drop("ids"), ("export",)),
        Damage(_drop("users"), ("export",)),
        Damage(_drop("rooms"), ("export",)),
    ),
    Reason.TIMESTAMP_OUTSIDE_WINDOW: (Damage(_member("times", "timestamp", _stale)),),
}

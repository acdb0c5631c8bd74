"""Schema drift of the writers: records that a run must publish, mostly with a flag."""

from dataclasses import dataclass
from random import Random

from daily_batch.domain.codes import Flag
from daily_batch.domain.run import Layout
from daily_batch.synthetic.content import quote
from daily_batch.synthetic.day import Columns
from daily_batch.synthetic.mutations import (
    BOTH,
    PATH_ONLY,
    Mutation,
    add_members,
    choose_cells,
    drop_member,
    quote_id,
    replace_member,
    swap_tail,
)
from daily_batch.synthetic.spec import FaultRates


@dataclass(frozen=True)
class Drift:
    """One kind of drift: the name of its rate, the member it changes (at most one kind each), the flag of the row."""

    rate: str
    member: str
    flag: Flag | None
    mutate: Mutation
    layouts: tuple[Layout, ...] = BOTH


def _numeric_id(columns: Columns, at: int) -> bytes:
    columns.names[at] = b"%d" % (10**24 + int(columns.names[at][4:], 16))
    return columns.names[at]


def _recase_role(columns: Columns, at: int) -> bytes:
    role = columns.role_names[at]
    return quote(role.upper() if at % 2 else role.capitalize())


def _unknown_role(columns: Columns, at: int) -> bytes:
    columns.role_names[at] = "tool"
    return b'"tool"'


def _no_content(value: bytes) -> Mutation:
    def mutate(columns: Columns, at: int) -> None:
        columns.contents[at] = columns.day.style.member("content", value).removesuffix(b",")
        columns.lengths[at] = 0

    return mutate


def _epoch_ms(columns: Columns, at: int) -> bytes:
    return b"%d" % (columns.day.clock.start_ms + columns.slots.times[at])


def _room_id(columns: Columns, at: int) -> bytes:
    return b'"%b"' % columns.day.rooms.names[columns.slots.rooms[at]]


def _unknown_fields(columns: Columns, at: int) -> dict[str, object]:
    client = {"version": f"4.{at % 7}", "platform": ("iOS", "Android", "web")[at % 3], "locale": "ja-JP"}
    return {"client": client, "feedback": None} if at % 2 else {"client": client, "パーソナ": {"名前": "アシスタント"}}


DRIFTS = (
    Drift("numeric_id", "id", Flag.NUMERIC_ID, replace_member("ids", "message_id", _numeric_id)),
    Drift("id_alias", "id", Flag.MESSAGE_ID_FROM_ALIAS, replace_member("ids", "id", quote_id)),
    Drift("missing_message_id", "id", Flag.MESSAGE_ID_FROM_PATH, drop_member("ids"), PATH_ONLY),
    Drift("missing_user", "user", Flag.USER_ID_FROM_PATH, drop_member("users"), PATH_ONLY),
    Drift(
        "user_conflict",
        "user",
        Flag.USER_CONFLICT,
        replace_member("users", "user_id", lambda columns, at: b'"someone_else"'),
        PATH_ONLY,
    ),
    Drift("room_alias", "room", Flag.ROOM_ID_FROM_ALIAS, replace_member("rooms", "chat_id", _room_id)),
    Drift("missing_room", "room", Flag.ROOM_ID_FROM_PATH, drop_member("rooms"), PATH_ONLY),
    Drift(
        "room_conflict",
        "room",
        Flag.ROOM_CONFLICT,
        replace_member("rooms", "room_id", lambda columns, at: b'"another_room"'),
        PATH_ONLY,
    ),
    Drift(
        "naive_timestamp",
        "time",
        Flag.NAIVE_TIMESTAMP,
        replace_member("times", "timestamp", lambda columns, at: b'"%b%03d"' % (columns.timestamp(at), at % 1000)),
    ),
    Drift("missing_timestamp", "time", Flag.TIMESTAMP_FROM_PATH, drop_member("times"), PATH_ONLY),
    Drift("epoch_timestamp", "time", Flag.TIMESTAMP_FORMAT, replace_member("times", "timestamp", _epoch_ms)),
    Drift("role_case", "role", Flag.ROLE_CASE, replace_member("roles", "role", _recase_role)),
    Drift("unknown_role", "role", Flag.UNKNOWN_ROLE, replace_member("roles", "role", _unknown_role)),
    Drift("null_content", "content", Flag.NULL_CONTENT, _no_content(b"null")),
    Drift("empty_content", "content", Flag.EMPTY_CONTENT, _no_content(b'""')),
    Drift("images_alias", "tail", Flag.ALIASED_FIELD, swap_tail("images_alias")),
    Drift("crawl_sources", "tail", Flag.ALIASED_FIELD, swap_tail("crawl_sources")),
    Drift("top_crawl_sources", "tail", Flag.ALIASED_FIELD, swap_tail("top_crawl_sources")),
    Drift("rag_content", "tail", Flag.ALIASED_FIELD, swap_tail("rag_content")),
    Drift("unknown_fields", "extras", None, add_members(_unknown_fields)),
    Drift(
        "tenant_conflict",
        "tenant",
        Flag.TENANT_CONFLICT,
        add_members(lambda columns, at: {"tenant_id": "someone-else"}),
    ),
)


def apply_drift(columns: Columns, rng: Random, rates: FaultRates) -> None:
    """Apply schema drift to some of the messages, at the given rates."""
    layout = columns.day.spec.layout
    taken: dict[str, set[int]] = {}
    for drift in DRIFTS:
        if layout not in drift.layouts:
            continue
        others = taken.setdefault(drift.member, set())
        for at in choose_cells(rng, len(columns), getattr(rates, drift.rate), others):
            drift.mutate(columns, at)
            if drift.flag is not None:
                columns.flags.append((drift.flag, at))

"""How the writers drift: what a run must publish all the same, most of it with a flag."""

from dataclasses import dataclass

from daily_batch.domain.codes import Flag
from daily_batch.domain.run import Layout
from daily_batch.synthetic.columns import Columns
from daily_batch.synthetic.layouts import quote
from daily_batch.synthetic.mutations import BOTH, PATH_ONLY, Change, drop, extra, member, swap_tail, text_id


@dataclass(frozen=True)
class Drift:
    """One habit of the writers: its rate's name, the member it touches (one habit a member), the flag it earns."""

    rate: str
    member: str
    flag: Flag | None
    change: Change
    layouts: tuple[Layout, ...] = BOTH


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


def _unlisted(columns: Columns, at: int) -> dict[str, object]:
    client = {"version": f"4.{at % 7}", "platform": ("iOS", "Android", "web")[at % 3], "locale": "ja-JP"}
    return {"client": client, "feedback": None} if at % 2 else {"client": client, "パーソナ": {"名前": "アシスタント"}}


DRIFTS = (
    Drift("numeric_id", "id", Flag.NUMERIC_ID, member("ids", "message_id", _number)),
    Drift("id_alias", "id", Flag.MESSAGE_ID_FROM_ALIAS, member("ids", "id", text_id)),
    Drift("missing_message_id", "id", Flag.MESSAGE_ID_FROM_PATH, drop("ids"), PATH_ONLY),
    Drift("missing_user", "user", Flag.USER_ID_FROM_PATH, drop("users"), PATH_ONLY),
    Drift(
        "user_conflict",
        "user",
        Flag.USER_CONFLICT,
        member("users", "user_id", lambda columns, at: b'"someone_else"'),
        PATH_ONLY,
    ),
    Drift("room_alias", "room", Flag.ROOM_ID_FROM_ALIAS, member("rooms", "chat_id", _room)),
    Drift("missing_room", "room", Flag.ROOM_ID_FROM_PATH, drop("rooms"), PATH_ONLY),
    Drift(
        "room_conflict",
        "room",
        Flag.ROOM_CONFLICT,
        member("rooms", "room_id", lambda columns, at: b'"another_room"'),
        PATH_ONLY,
    ),
    Drift(
        "naive_timestamp",
        "time",
        Flag.NAIVE_TIMESTAMP,
        member("times", "timestamp", lambda columns, at: b'"%b%03d"' % (columns.moment(at), at % 1000)),
    ),
    Drift("missing_timestamp", "time", Flag.TIMESTAMP_FROM_PATH, drop("times"), PATH_ONLY),
    Drift("epoch_timestamp", "time", Flag.TIMESTAMP_FORMAT, member("times", "timestamp", _since_1970)),
    Drift("role_case", "role", Flag.ROLE_CASE, member("roles", "role", _respell)),
    Drift("unknown_role", "role", Flag.UNKNOWN_ROLE, member("roles", "role", _other_role)),
    Drift("null_content", "content", Flag.NULL_CONTENT, _no_content(b"null")),
    Drift("empty_content", "content", Flag.EMPTY_CONTENT, _no_content(b'""')),
    Drift("images_alias", "tail", Flag.ALIASED_FIELD, swap_tail("images_alias")),
    Drift("crawl_sources", "tail", Flag.ALIASED_FIELD, swap_tail("crawl_sources")),
    Drift("top_crawl_sources", "tail", Flag.ALIASED_FIELD, swap_tail("top_crawl_sources")),
    Drift("rag_content", "tail", Flag.ALIASED_FIELD, swap_tail("rag_content")),
    Drift("unknown_fields", "extras", None, extra(_unlisted)),
    Drift("tenant_conflict", "tenant", Flag.TENANT_CONFLICT, extra(lambda columns, at: {"tenant_id": "someone-else"})),
)

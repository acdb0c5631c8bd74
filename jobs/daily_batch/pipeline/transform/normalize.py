"""What the fields of a message mean: ids by precedence, instants, the business day, flags. One query for all rows."""

from collections.abc import Sequence
from itertools import pairwise

import duckdb
from arro3.core import Array, DataType, Table

from daily_batch.domain.calendar import offset_spans
from daily_batch.domain.contract import MAX_ID_LENGTH, ROLES, Flag, Reason
from daily_batch.domain.run import RunSpec
from daily_batch.pipeline.transform import timestamps
from daily_batch.pipeline.transform.duckdb_session import add_columns
from daily_batch.pipeline.transform.ownership import SOURCES, SourceRow, adjacent_windows

DAY_US = 86_400_000_000
ARROW = {
    "INTEGER": DataType.int32(),
    "BIGINT": DataType.int64(),
    "VARCHAR": DataType.utf8(),
    "BOOLEAN": DataType.bool(),
}

OTHER_DAY = "other_day"
# A row as it goes from the map to the reduce: what follows from other columns, or is the same for a whole run, is added
# where the table is written (see `rows.add_derived`). `flags` are one text, sorted, joined by commas, null without any.
ROW_COLUMNS = (
    *("message_id", "room_id", "user_id", "timestamp", "role", "content", "message_length"),
    *("attachments", "generated_images", "rag_sources", "agent_mode", "execution_time_ms", "tokens_used"),
    *("extras", "flags", "source_key", "source_line"),
)
# What goes with a row through the shuffle, and what judges it before.
LINEAGE = ("modified_us", "start", "length")
INTERNAL = (*LINEAGE, "bucket", "source", "verdict", "detail", "piece", "proven")

MACROS = """
CREATE OR REPLACE TEMP MACRO unusable_id(s) AS
    CASE WHEN s IS NULL OR s = '' OR contains(s, chr(0)) THEN true
         WHEN strlen(s) <= {longest} THEN false ELSE length(s) > {longest} END;
CREATE OR REPLACE TEMP MACRO as_sent(name, s, numeric) AS
    '"' || name || '":' || coalesce(
        nullif(regexp_extract(numeric, '(?:^|,)' || name || '=([^,]+)', 1), ''), to_json(s)::VARCHAR);
"""


def local_hour(plan: RunSpec) -> str:
    """Return the expression of a row's hour, 0 to 23, in the plan's zone."""
    spans = offset_spans(plan.zone, plan.start_us, plan.end_us)
    cases = " ".join(
        f"WHEN epoch_us(timestamp) < {begin} THEN {before * 1_000_000}" for (_, before), (begin, _) in pairwise(spans)
    )
    last = str(spans[-1][1] * 1_000_000)
    offset = f"CASE {cases} ELSE {last} END" if cases else last
    return f"CAST((epoch_us(timestamp) + {offset}) // 3600000000 % 24 AS INTEGER)"


def _flags(*, plain: bool) -> str:
    """Return the expression of a row's flags; a timestamp in plain ISO 8601 has no form to be flagged."""
    form = {} if plain else {Flag.TIMESTAMP_FORMAT: timestamps.OTHER_FORM}
    conditions = {
        Flag.MESSAGE_ID_FROM_ALIAS: "message_id IS NULL AND id IS NOT NULL",
        Flag.MESSAGE_ID_FROM_PATH: "message_id IS NULL AND id IS NULL",
        Flag.MESSAGE_ID_CONFLICT: "id <> message_id OR path_message_id <> final_message_id",
        Flag.USER_ID_FROM_PATH: "nullif(user_id, '') IS NULL AND path_user IS NOT NULL",
        Flag.USER_CONFLICT: "user_id <> '' AND user_id <> path_user",
        Flag.NO_USER: "final_user_id IS NULL",
        Flag.ROOM_ID_FROM_ALIAS: "room_id IS NULL AND chat_id IS NOT NULL",
        Flag.ROOM_ID_FROM_PATH: "room_id IS NULL AND chat_id IS NULL",
        Flag.ROOM_CONFLICT: "room_id <> final_room_id OR chat_id <> final_room_id",
        Flag.NAIVE_TIMESTAMP: "kind = 'naive'",
        Flag.TIMESTAMP_FROM_PATH: "kind = 'path'",
        **form,
        Flag.LEAP_SECOND: "leap",
        Flag.UNKNOWN_ROLE: f"coalesce(lower(role) NOT IN {ROLES}, true)",
        Flag.ROLE_CASE: "lower(role) <> role",
        Flag.NULL_CONTENT: "content IS NULL",
        Flag.EMPTY_CONTENT: "content = ''",
    }
    cases = ", ".join(f"CASE WHEN {condition} THEN '{flag}' END" for flag, condition in conditions.items())
    text = f"concat_ws(',', nullif(doubts, ''), {cases})"
    return f"nullif(array_to_string(list_sort(string_split({text}, ',')), ','), '')"


# A value that lost against another is kept where unlisted fields are.
LOSERS = """concat_ws(',',
    CASE WHEN id <> message_id THEN as_sent('id', id, numeric) END,
    CASE WHEN user_id <> '' AND user_id <> final_user_id THEN as_sent('user_id', user_id, numeric) END,
    CASE WHEN room_id <> final_room_id THEN as_sent('room_id', room_id, numeric) END,
    CASE WHEN chat_id <> final_room_id THEN as_sent('chat_id', chat_id, numeric) END)"""

# Column of a row -> expression, where it is not the sent field of the same name.
DERIVED = {
    "message_id": "final_message_id",
    "room_id": "final_room_id",
    "user_id": "final_user_id",
    "timestamp": "make_timestamptz(at_us)",
    "role": "CASE WHEN usual THEN role ELSE lower(role) END",
    "message_length": "coalesce(length(content), 0)::INTEGER",
    "source_line": "line",
    "bucket": "CAST(hash(final_room_id) % {buckets} AS INTEGER)",
}


# A value that lost against another one goes where unlisted fields are.
EXTRAS = """CASE WHEN losers = '' THEN extras WHEN extras IS NULL THEN '{' || losers || '}'
    ELSE left(extras, -1) || ',' || losers || '}' END"""


def _detail(unreadable: str) -> str:
    """Return the expression of a reject's detail: why a record cannot be published, without its content."""
    return f"""CASE WHEN verdict IS NULL THEN NULL WHEN verdict = '{Reason.INVALID_ID}'
        THEN CASE WHEN unusable_id(final_message_id) THEN 'message_id' WHEN unusable_id(final_room_id) THEN 'room_id'
                  ELSE 'user_id' END || ' is absent, empty, too long or holds U+0000'
        WHEN verdict = '{Reason.INVALID_TIMESTAMP}' THEN {unreadable}
        ELSE 'the timestamp is ' || strftime(make_timestamp(at_us), '%Y-%m-%dT%H:%M:%S.%fZ') END"""


def _usual(plan: RunSpec) -> str:
    """Return the condition of a row that needs no look at aliases, conflicts and flags: all but a few."""
    whole = " AND ".join(
        f"{name} <> '' AND strlen({name}) <= {MAX_ID_LENGTH} AND NOT contains({name}, chr(0))"
        for name in ("message_id", "user_id", "room_id")
    )
    paths = {"message_id": "path_message_id", "user_id": "path_user", "room_id": "path_room"}
    alike = [f"{sent} = {said}" for sent, said in paths.items()] if plan.layout == "messages" else []
    conditions = [whole, "id IS NULL AND chat_id IS NULL AND doubts = ''", f"role IN {ROLES} AND content <> ''", *alike]
    return f"coalesce({' AND '.join(conditions)}, false)"


def build_query(plan: RunSpec, fields: str, *, plain: bool) -> str:
    """Return the query that interprets the query `fields`, with a verdict on each row: null for one of the day's.

    Where `plain` is true, only timestamps in plain ISO 8601 are read, and a row with another one is not `proven`: the
    statement is planned for each batch, and every further form takes its time.
    """
    naive = offset_spans(plan.naive_zone, plan.start_us - 3 * DAY_US, plan.end_us + 3 * DAY_US)
    before, after = adjacent_windows(plan)
    layers = (
        {
            "usual": _usual(plan),
            "final_message_id": "coalesce(message_id, id, path_message_id)",
            "final_user_id": "coalesce(path_user, nullif(user_id, ''))",
            "final_room_id": "coalesce(path_room, room_id, chat_id)",
        },
        *(timestamps.plain_columns(naive) if plain else timestamps.instant_columns(naive)),
        {
            "fault": f"""CASE
                WHEN NOT usual AND (unusable_id(final_message_id) OR unusable_id(final_room_id)
                    OR (final_user_id IS NOT NULL AND unusable_id(final_user_id))) THEN '{Reason.INVALID_ID}'
                WHEN at_us IS NULL THEN '{Reason.INVALID_TIMESTAMP}'
                WHEN at_us >= {plan.start_us} AND at_us < {plan.end_us} THEN NULL
                WHEN read_before AND at_us >= {before[0]} AND at_us < {before[1]} THEN '{OTHER_DAY}'
                WHEN read_after AND at_us >= {after[0]} AND at_us < {after[1]} THEN '{OTHER_DAY}'
                ELSE '{Reason.TIMESTAMP_OUTSIDE_WINDOW}' END"""
        },
        {
            "verdict": f"CASE WHEN fault IS NULL OR owned THEN fault ELSE '{OTHER_DAY}' END",
            "losers": f"CASE WHEN usual THEN '' ELSE {LOSERS} END",
        },
    )
    derived = {
        **DERIVED,
        "bucket": DERIVED["bucket"].format(buckets=plan.buckets),
        "detail": _detail(timestamps.ABSENT if plain else timestamps.DETAIL),
        "proven": "proven AND (timestamp IS NULL OR at_us IS NOT NULL)" if plain else "proven",
        "flags": f"CASE WHEN usual AND usual_us IS NOT NULL THEN NULL ELSE {_flags(plain=plain)} END",
        "extras": f"CASE WHEN usual THEN extras ELSE {EXTRAS} END",
    }
    columns = ", ".join(f"{derived.get(name, name)} AS {name}" for name in (*ROW_COLUMNS, *INTERNAL))
    # Not filtered to the proven ones here: a filter makes every later copy of a text slower (measured, by half).
    source = add_columns(f"({fields}) JOIN sources USING (source)", *layers)
    return f"SELECT {columns} FROM {source}"


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the macros and the table `sources`."""
    sources = ", ".join(f"{name} {kind}" for name, kind in SOURCES.items())
    connection.execute(MACROS.format(longest=MAX_ID_LENGTH))
    connection.execute(timestamps.MACROS)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE sources ({sources})")


def load_sources(connection: duckdb.DuckDBPyConnection, rows: Sequence[SourceRow]) -> None:
    """Fill the table `sources`."""
    if not rows:
        return
    columns = zip(SOURCES.items(), zip(*rows, strict=True), strict=True)
    arrays = [Array(list(values), ARROW[kind]) for (_, kind), values in columns]
    connection.register("described", Table.from_arrays(arrays, names=list(SOURCES)))
    connection.execute("INSERT INTO sources SELECT * FROM described")

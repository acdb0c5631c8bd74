"""Normalize the fields of messages in SQL: ids by precedence, timestamps, the business day, flags."""

from collections.abc import Sequence
from itertools import pairwise

import duckdb
from arro3.core import Array, DataType, Table

from daily_batch.domain.calendar import offset_spans
from daily_batch.domain.codes import Flag, Reason
from daily_batch.domain.contract import MAX_ID_LENGTH, ROLES
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
# Columns of a row between the map and the reduce. What follows from other columns, or is constant for a run, is added
# when the table is written (see `write`). `flags` is one text: sorted, comma-separated, null without any.
ROW_COLUMNS = (
    *("message_id", "room_id", "user_id", "timestamp", "role", "content", "message_length"),
    *("attachments", "generated_images", "rag_sources", "agent_mode", "execution_time_ms", "tokens_used"),
    *("extras", "flags", "source_key", "source_line"),
)
# Columns that accompany a row through the shuffle, and columns that only the map uses.
LINEAGE = ("modified_us", "start", "length")
INTERNAL = (*LINEAGE, "bucket", "source", "verdict", "detail", "piece", "verified")

MACROS = """
CREATE OR REPLACE TEMP MACRO unusable_id(s) AS
    CASE WHEN s IS NULL OR s = '' OR contains(s, chr(0)) THEN true
         WHEN strlen(s) <= {max_length} THEN false ELSE length(s) > {max_length} END;
CREATE OR REPLACE TEMP MACRO as_sent(name, s, numeric) AS
    '"' || name || '":' || coalesce(
        nullif(regexp_extract(numeric, '(?:^|,)' || name || '=([^,]+)', 1), ''), to_json(s)::VARCHAR);
"""


def local_hour(spec: RunSpec) -> str:
    """Return the SQL expression of a row's hour, 0 to 23, in the spec's time zone."""
    spans = offset_spans(spec.zone, spec.start_us, spec.end_us)
    cases = " ".join(
        f"WHEN epoch_us(timestamp) < {begin} THEN {before * 1_000_000}" for (_, before), (begin, _) in pairwise(spans)
    )
    last = str(spans[-1][1] * 1_000_000)
    offset = f"CASE {cases} ELSE {last} END" if cases else last
    return f"CAST((epoch_us(timestamp) + {offset}) // 3600000000 % 24 AS INTEGER)"


def _flags(*, plain: bool) -> str:
    """Return the SQL expression of a row's flags; a plain ISO 8601 timestamp has no form to be flagged."""
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
    text = f"concat_ws(',', nullif(parse_flags, ''), {cases})"
    return f"nullif(array_to_string(list_sort(string_split({text}, ',')), ','), '')"


# An id that lost against another one goes to extras, like unlisted fields.
LOSERS = """concat_ws(',',
    CASE WHEN id <> message_id THEN as_sent('id', id, numeric) END,
    CASE WHEN user_id <> '' AND user_id <> final_user_id THEN as_sent('user_id', user_id, numeric) END,
    CASE WHEN room_id <> final_room_id THEN as_sent('room_id', room_id, numeric) END,
    CASE WHEN chat_id <> final_room_id THEN as_sent('chat_id', chat_id, numeric) END)"""

# Row column -> SQL expression, where it is not the sent field of the same name.
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


# Add the ids that lost to the unlisted fields.
EXTRAS = """CASE WHEN losers = '' THEN extras WHEN extras IS NULL THEN '{' || losers || '}'
    ELSE left(extras, -1) || ',' || losers || '}' END"""


def _detail(unreadable: str) -> str:
    """Return the SQL expression of a reject's detail: why the record cannot be published, without its content."""
    return f"""CASE WHEN verdict IS NULL THEN NULL WHEN verdict = '{Reason.INVALID_ID}'
        THEN CASE WHEN unusable_id(final_message_id) THEN 'message_id' WHEN unusable_id(final_room_id) THEN 'room_id'
                  ELSE 'user_id' END || ' is absent, empty, too long or holds U+0000'
        WHEN verdict = '{Reason.INVALID_TIMESTAMP}' THEN {unreadable}
        ELSE 'the timestamp is ' || strftime(make_timestamp(at_us), '%Y-%m-%dT%H:%M:%S.%fZ') END"""


def _usual(spec: RunSpec) -> str:
    """Return the condition of a regular row, as nearly all are: one without aliases, conflicts or flags."""
    valid_ids = " AND ".join(
        f"{name} <> '' AND strlen({name}) <= {MAX_ID_LENGTH} AND NOT contains({name}, chr(0))"
        for name in ("message_id", "user_id", "room_id")
    )
    paths = {"message_id": "path_message_id", "user_id": "path_user", "room_id": "path_room"}
    matches = [f"{sent} = {from_path}" for sent, from_path in paths.items()] if spec.layout == "messages" else []
    conditions = [
        valid_ids,
        "id IS NULL AND chat_id IS NULL AND parse_flags = ''",
        f"role IN {ROLES} AND content <> ''",
        *matches,
    ]
    return f"coalesce({' AND '.join(conditions)}, false)"


def build_query(spec: RunSpec, fields: str, *, plain: bool) -> str:
    """Return the query that normalizes `fields`, a query, and adds a verdict to each row: null if the row is published.

    If `plain` is true, only plain ISO 8601 timestamps are read, and a row with another form is not `verified`: the
    statement is planned for each batch, and every further form adds to that time.
    """
    naive = offset_spans(spec.naive_zone, spec.start_us - 3 * DAY_US, spec.end_us + 3 * DAY_US)
    before, after = adjacent_windows(spec)
    layers = (
        {
            "usual": _usual(spec),
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
                WHEN at_us >= {spec.start_us} AND at_us < {spec.end_us} THEN NULL
                WHEN read_before AND at_us >= {before[0]} AND at_us < {before[1]} THEN '{OTHER_DAY}'
                WHEN read_after AND at_us >= {after[0]} AND at_us < {after[1]} THEN '{OTHER_DAY}'
                ELSE '{Reason.TIMESTAMP_OUTSIDE_WINDOW}' END"""
        },
        {
            "verdict": f"CASE WHEN fault IS NULL OR is_owner THEN fault ELSE '{OTHER_DAY}' END",
            "losers": f"CASE WHEN usual THEN '' ELSE {LOSERS} END",
        },
    )
    derived = {
        **DERIVED,
        "bucket": DERIVED["bucket"].format(buckets=spec.buckets),
        "detail": _detail(timestamps.ABSENT if plain else timestamps.DETAIL),
        "verified": "verified AND (timestamp IS NULL OR at_us IS NOT NULL)" if plain else "verified",
        "flags": f"CASE WHEN usual AND usual_us IS NOT NULL THEN NULL ELSE {_flags(plain=plain)} END",
        "extras": f"CASE WHEN usual THEN extras ELSE {EXTRAS} END",
    }
    columns = ", ".join(f"{derived.get(name, name)} AS {name}" for name in (*ROW_COLUMNS, *INTERNAL))
    # Not filtered by `verified` here: a filter makes every later copy of a text slower (by half, measured).
    source = add_columns(f"({fields}) JOIN sources USING (source)", *layers)
    return f"SELECT {columns} FROM {source}"


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the macros and the table `sources`."""
    sources = ", ".join(f"{name} {kind}" for name, kind in SOURCES.items())
    connection.execute(MACROS.format(max_length=MAX_ID_LENGTH))
    connection.execute(timestamps.MACROS)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE sources ({sources})")


def load_sources(connection: duckdb.DuckDBPyConnection, rows: Sequence[SourceRow]) -> None:
    """Insert rows into the table `sources`."""
    if not rows:
        return
    columns = zip(SOURCES.items(), zip(*rows, strict=True), strict=True)
    arrays = [Array(list(values), ARROW[kind]) for (_, kind), values in columns]
    connection.register("described", Table.from_arrays(arrays, names=list(SOURCES)))
    connection.execute("INSERT INTO sources SELECT * FROM described")

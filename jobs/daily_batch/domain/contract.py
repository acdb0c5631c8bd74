"""The data contract: tables, columns and types, declared once (reject reasons and flags: `codes.py`).

Types are DuckDB's names; Arrow schemas, Delta schemas and docs/data-dictionary.md are derived from them.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One column: its name, DuckDB type and meaning."""

    name: str
    type: str
    doc: str


@dataclass(frozen=True)
class Table:
    """One table under `{output}/{tenant}/analytics/`, partitioned by `date`.

    `statistics` names the columns with minimum, maximum and null count for each file, which let readers skip files.
    """

    name: str
    doc: str
    columns: tuple[Column, ...]
    statistics: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Column names, in table order."""
        return tuple(column.name for column in self.columns)


ATTACHMENT = "STRUCT(type VARCHAR, url VARCHAR, thumbnail VARCHAR, name VARCHAR, size BIGINT)"
GENERATED_IMAGE = "STRUCT(url VARCHAR, thumbnail VARCHAR, prompt VARCHAR, size VARCHAR, style VARCHAR)"
RAG_SOURCE = "STRUCT(title VARCHAR, source VARCHAR, text VARCHAR, score DOUBLE)"

DATE = Column("date", "DATE", "business day in BATCH_TIMEZONE; the partition")
RUN = (
    Column("run_id", "VARCHAR", "the run that wrote the row"),
    Column("processed_at", "TIMESTAMPTZ", "when that run began"),
)

MESSAGES = Table(
    "messages",
    "Every message of the day, once.",
    (
        DATE,
        Column("message_id", "VARCHAR", "from the body, else the file name (then flagged)"),
        Column("room_id", "VARCHAR", "from the path, else the body"),
        Column("user_id", "VARCHAR", "from the path, else the body; null when neither names one"),
        Column("timestamp", "TIMESTAMPTZ", "when it was sent (UTC)"),
        Column("hour", "INTEGER", "local hour in BATCH_TIMEZONE, 0 to 23"),
        Column("role", "VARCHAR", "lower-cased; user, assistant or system, anything else is flagged"),
        Column("content", "VARCHAR", "exactly as sent; null and empty are kept"),
        Column("message_length", "INTEGER", "code points of content; 0 when it is null"),
        Column("has_attachments", "BOOLEAN", "whether attachment_count is above 0"),
        Column("attachment_count", "INTEGER", "elements of attachments"),
        Column("attachments", f"{ATTACHMENT}[]", "files sent with the message"),
        Column("generated_images", f"{GENERATED_IMAGE}[]", "images made by the agent (also sent as `images`)"),
        Column("rag_sources", f"{RAG_SOURCE}[]", "context.rag_sources (also sent as `crawl_sources`)"),
        Column("agent_mode", "VARCHAR", "agent_info.mode"),
        Column("execution_time_ms", "BIGINT", "agent_info.execution_time_ms, milliseconds"),
        Column("tokens_used", "BIGINT", "agent_info.tokens_used"),
        Column("extras", "VARCHAR", "JSON object of every field not listed above, untouched; null when there is none"),
        Column("flags", "VARCHAR[]", "every repair or doubt, by code, sorted; empty when there is none"),
        Column("source_key", "VARCHAR", "object that held the record, relative to the input root"),
        Column("source_line", "BIGINT", "line in the object where the record begins; 1 for an object of its own"),
        *RUN,
    ),
    statistics=(
        *("message_id", "room_id", "user_id", "timestamp", "hour", "role", "message_length"),
        *("attachment_count", "execution_time_ms", "tokens_used"),
    ),
)

REJECTS = Table(
    "rejects",
    "Every record and object that could not be published, with its reason and its bytes.",
    (
        DATE,
        Column("source_key", "VARCHAR", "object that held the record, relative to the input root"),
        Column("source_line", "BIGINT", "line where the record begins; 0 for a whole object"),
        Column("reason", "VARCHAR", "code of the reason, or of the flag when the row is a copy"),
        Column("detail", "VARCHAR", "what was found, without message content"),
        Column("raw", "BLOB", "the original bytes"),
        Column("raw_truncated", "BOOLEAN", "whether raw was cut at the documented limit"),
        *RUN,
    ),
    statistics=("source_key", "source_line", "reason"),
)

TURNS = Table(
    "turns",
    "One row for each user message, with its answer: the next message in the room, if an assistant sent it.",
    (
        DATE,
        Column("room_id", "VARCHAR", "room"),
        Column("turn", "BIGINT", "number of the user message in its room's day, from 1"),
        Column("user_id", "VARCHAR", "user_id of the user message; null when it has none"),
        Column("user_message_id", "VARCHAR", "the user message"),
        Column("user_at", "TIMESTAMPTZ", "when it was sent (UTC)"),
        Column("user_length", "INTEGER", "its message_length, code points"),
        Column("answer_message_id", "VARCHAR", "the answer; null when there is none"),
        Column("answered_at", "TIMESTAMPTZ", "when the answer was sent (UTC)"),
        Column("response_ms", "BIGINT", "answered_at - user_at in whole milliseconds, rounded down"),
        Column("answer_length", "INTEGER", "message_length of the answer"),
        Column("tokens_used", "BIGINT", "tokens_used of the answer"),
        Column("agent_mode", "VARCHAR", "agent_mode of the answer"),
        Column(
            "starts_with_answer",
            "BOOLEAN",
            "first turn of a room's day that begins with an assistant message: its question may be of the day before",
        ),
        Column(
            "cut_by_midnight",
            "BOOLEAN",
            "last turn of the room's day, without an answer: it may be in the next day",
        ),
        *RUN,
    ),
    statistics=("room_id", "user_id", "user_at", "response_ms"),
)

# From response_ms of the turns: the value at the nearest rank, so that it occurs in the data. Null without answers.
RESPONSES = (
    Column("answers", "BIGINT", "user messages with an answer (turns)"),
    Column("response_median_ms", "BIGINT", "median response time, milliseconds; null without answers"),
    Column("response_p95_ms", "BIGINT", "95th percentile of the response time, milliseconds; null without answers"),
)
TOTALS = (
    Column("messages", "BIGINT", "messages"),
    Column("user_messages", "BIGINT", "messages with role user"),
    Column("assistant_messages", "BIGINT", "messages with role assistant"),
    Column("other_messages", "BIGINT", "messages with any other role, or none"),
    Column("user_length", "BIGINT", "sum of message_length of the messages with role user, code points"),
    Column("total_length", "BIGINT", "sum of message_length, code points"),
    Column("tokens_used", "BIGINT", "sum of tokens_used; null where it does not fit a BIGINT"),
    Column("attachments", "BIGINT", "sum of attachment_count"),
    Column("first_at", "TIMESTAMPTZ", "first message"),
    Column("last_at", "TIMESTAMPTZ", "last message"),
)

ROOMS_DAILY = Table(
    "rooms_daily",
    "One row for each room that was active.",
    (
        DATE,
        Column("room_id", "VARCHAR", "room"),
        Column("unique_users", "BIGINT", "distinct user_id in the room, messages without one left out"),
        *TOTALS,
        *RESPONSES,
        *RUN,
    ),
    statistics=("room_id", "messages", "tokens_used", "first_at", "last_at"),
)

USERS_DAILY = Table(
    "users_daily",
    "One row for each user who was active; messages without a user are in none.",
    (
        DATE,
        Column("user_id", "VARCHAR", "user"),
        Column("unique_rooms", "BIGINT", "distinct room_id of the user"),
        *TOTALS,
        *RESPONSES,
        *RUN,
    ),
    statistics=("user_id", "messages", "tokens_used", "first_at", "last_at"),
)

SUMMARY_DAILY = Table(
    "summary_daily",
    "The day in one row.",
    (
        DATE,
        Column("unique_users", "BIGINT", "distinct user_id, messages without one left out"),
        Column("unique_rooms", "BIGINT", "distinct room_id"),
        *TOTALS,
        *RESPONSES,
        Column("average_length", "DOUBLE", "total_length / messages; null on an empty day"),
        Column("messages_by_hour", "BIGINT[]", "messages in each local hour, 24 numbers"),
        Column("messages_by_role", "STRUCT(role VARCHAR, messages BIGINT)[]", "messages of each role, by role"),
        *RUN,
    ),
    statistics=("messages", "user_messages", "unique_users", "unique_rooms", "tokens_used"),
)

# The order of publication: evidence first, then the rows, then what is derived from them.
TABLES = (REJECTS, MESSAGES, TURNS, ROOMS_DAILY, USERS_DAILY, SUMMARY_DAILY)

ROLES = ("user", "assistant", "system")
MAX_ID_LENGTH = 512

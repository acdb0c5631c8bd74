"""The data contract: tables, columns and types, declared once (reject reasons and flags: `codes.py`).

Types are DuckDB's names; Arrow schemas, Delta schemas and docs/data-dictionary.md are derived from them.
"""

from dataclasses import dataclass
from typing import Literal

# What a column reveals: message content, the identity of a person or object, or neither.
Holds = Literal["content", "identifier", "fact"]
# Types that can hold text. A column of such a type says what it holds; all others hold facts.
_TEXT_TYPES = ("VARCHAR", "BLOB", "STRUCT")


@dataclass(frozen=True)
class Column:
    """One column: its name, DuckDB type and meaning.

    `required` columns are never null. Files and schemas declare every column nullable all the same (`write_rows`).
    `holds` is required of a column that can hold text: until it is decided, no view without content shows the column.
    """

    name: str
    type: str
    doc: str
    required: bool = False
    holds: Holds | None = None

    @property
    def is_undecided(self) -> bool:
        """Whether the column can hold text and does not say what it holds."""
        return self.holds is None and self.type.startswith(_TEXT_TYPES)

    @property
    def shows_content(self) -> bool:
        """Whether the column holds what was said or sent, or may hold it."""
        return self.holds == "content" or self.is_undecided

    @property
    def comment(self) -> str:
        """The meaning and whether it is never null, as catalogs and the data dictionary show it."""
        return f"{self.doc}; never null" if self.required else self.doc


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

DATE = Column("date", "DATE", "business day in BATCH_TIMEZONE; the partition", required=True)
TENANT = Column(
    "tenant_id",
    "VARCHAR",
    "tenant of the run; a tenant_id in a message goes to extras",
    required=True,
    holds="identifier",
)
KEYS = (DATE, TENANT)
RUN = (
    Column("run_id", "VARCHAR", "the run that wrote the row", required=True, holds="identifier"),
    Column("processed_at", "TIMESTAMPTZ", "when that run began", required=True),
)
# Columns that are constant for a run; `write_rows` adds them.
RUN_COLUMNS = tuple(column.name for column in (*KEYS, *RUN))

MESSAGES = Table(
    "messages",
    "Every message of the day, once.",
    (
        *KEYS,
        Column(
            "message_id",
            "VARCHAR",
            "from the body, else the file name (then flagged)",
            required=True,
            holds="identifier",
        ),
        Column("room_id", "VARCHAR", "from the path, else the body", required=True, holds="identifier"),
        Column("user_id", "VARCHAR", "from the path, else the body; null when neither names one", holds="identifier"),
        Column("timestamp", "TIMESTAMPTZ", "when it was sent (UTC)", required=True),
        Column("hour", "INTEGER", "local hour in BATCH_TIMEZONE, 0 to 23", required=True),
        Column("role", "VARCHAR", "lower-cased; user, assistant or system, anything else is flagged", holds="fact"),
        Column("content", "VARCHAR", "exactly as sent; null and empty are kept", holds="content"),
        Column("message_length", "INTEGER", "code points of content; 0 when it is null", required=True),
        Column("has_attachments", "BOOLEAN", "whether attachment_count is above 0", required=True),
        Column("attachment_count", "INTEGER", "elements of attachments", required=True),
        Column("attachments", f"{ATTACHMENT}[]", "files sent with the message", holds="content"),
        Column(
            "generated_images",
            f"{GENERATED_IMAGE}[]",
            "images made by the agent (also sent as `images`)",
            holds="content",
        ),
        Column("rag_sources", f"{RAG_SOURCE}[]", "context.rag_sources (also sent as `crawl_sources`)", holds="content"),
        Column("agent_mode", "VARCHAR", "agent_info.mode", holds="fact"),
        Column("execution_time_ms", "BIGINT", "agent_info.execution_time_ms, milliseconds"),
        Column("tokens_used", "BIGINT", "agent_info.tokens_used"),
        Column(
            "extras",
            "VARCHAR",
            "JSON object of every field not listed above, untouched; null when there is none",
            holds="content",
        ),
        Column(
            "flags",
            "VARCHAR[]",
            "every repair or doubt, by code, sorted; empty when there is none",
            required=True,
            holds="fact",
        ),
        Column(
            "source_key",
            "VARCHAR",
            "object that held the record, relative to the input root",
            required=True,
            holds="identifier",
        ),
        Column(
            "source_line",
            "BIGINT",
            "line in the object where the record begins; 1 for an object of its own",
            required=True,
        ),
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
        *KEYS,
        Column(
            "source_key",
            "VARCHAR",
            "object that held the record, relative to the input root",
            required=True,
            holds="identifier",
        ),
        Column("source_line", "BIGINT", "line where the record begins; 0 for a whole object", required=True),
        Column(
            "reason",
            "VARCHAR",
            "code of the reason, or of the flag when the row is a copy",
            required=True,
            holds="fact",
        ),
        Column("detail", "VARCHAR", "what was found, without message content", required=True, holds="fact"),
        Column("raw", "BLOB", "the original bytes", required=True, holds="content"),
        Column("raw_truncated", "BOOLEAN", "whether raw was cut at the documented limit", required=True),
        *RUN,
    ),
    statistics=("source_key", "source_line", "reason"),
)

TURNS = Table(
    "turns",
    "One row for each user message, with its answer: the next message in the room, if an assistant sent it.",
    (
        *KEYS,
        Column("room_id", "VARCHAR", "room", required=True, holds="identifier"),
        Column("turn", "BIGINT", "number of the user message in its room and day, from 1", required=True),
        Column("user_id", "VARCHAR", "user_id of the user message; null when it has none", holds="identifier"),
        Column("user_message_id", "VARCHAR", "the user message", required=True, holds="identifier"),
        Column("user_at", "TIMESTAMPTZ", "when it was sent (UTC)", required=True),
        Column("user_length", "INTEGER", "its message_length, code points", required=True),
        Column("answer_message_id", "VARCHAR", "the answer; null when there is none", holds="identifier"),
        Column("answered_at", "TIMESTAMPTZ", "when the answer was sent (UTC)"),
        Column("response_ms", "BIGINT", "answered_at - user_at in whole milliseconds, rounded down"),
        Column("answer_length", "INTEGER", "message_length of the answer"),
        Column("tokens_used", "BIGINT", "tokens_used of the answer"),
        Column("agent_mode", "VARCHAR", "agent_mode of the answer", holds="fact"),
        Column(
            "starts_with_answer",
            "BOOLEAN",
            "first turn of a room whose day begins with an assistant message: its question may be of the day before",
            required=True,
        ),
        Column(
            "cut_by_midnight",
            "BOOLEAN",
            "last turn of a room and day, without an answer: it may be in the next day",
            required=True,
        ),
        *RUN,
    ),
    statistics=("room_id", "user_id", "user_at", "response_ms"),
)

# From response_ms of the turns: the value at the nearest rank, so that it occurs in the data. Null without answers.
RESPONSES = (
    Column("answers", "BIGINT", "user messages with an answer (turns)", required=True),
    Column("response_median_ms", "BIGINT", "median response time, milliseconds; null without answers"),
    Column("response_p95_ms", "BIGINT", "95th percentile of the response time, milliseconds; null without answers"),
)
TOTALS = (
    Column("messages", "BIGINT", "messages", required=True),
    Column("user_messages", "BIGINT", "messages with role user", required=True),
    Column("assistant_messages", "BIGINT", "messages with role assistant", required=True),
    Column("other_messages", "BIGINT", "messages with any other role, or none", required=True),
    Column("user_length", "BIGINT", "sum of message_length of the messages with role user, code points", required=True),
    Column("total_length", "BIGINT", "sum of message_length, code points", required=True),
    Column("tokens_used", "BIGINT", "sum of tokens_used; null where it does not fit a BIGINT"),
    Column("attachments", "BIGINT", "sum of attachment_count", required=True),
    Column("first_at", "TIMESTAMPTZ", "first message; null on an empty day"),
    Column("last_at", "TIMESTAMPTZ", "last message; null on an empty day"),
)

ROOMS_DAILY = Table(
    "rooms_daily",
    "One row for each room that was active.",
    (
        *KEYS,
        Column("room_id", "VARCHAR", "room", required=True, holds="identifier"),
        Column("unique_users", "BIGINT", "distinct user_id in the room, messages without one left out", required=True),
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
        *KEYS,
        Column("user_id", "VARCHAR", "user", required=True, holds="identifier"),
        Column("unique_rooms", "BIGINT", "distinct room_id of the user", required=True),
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
        *KEYS,
        Column("unique_users", "BIGINT", "distinct user_id, messages without one left out", required=True),
        Column("unique_rooms", "BIGINT", "distinct room_id", required=True),
        *TOTALS,
        *RESPONSES,
        Column("average_length", "DOUBLE", "total_length / messages; null on an empty day"),
        Column("messages_by_hour", "BIGINT[]", "messages in each local hour, 24 numbers", required=True),
        Column(
            "messages_by_role",
            "STRUCT(role VARCHAR, messages BIGINT)[]",
            "messages of each role, by role",
            required=True,
            holds="fact",
        ),
        *RUN,
    ),
    statistics=("messages", "user_messages", "unique_users", "unique_rooms", "tokens_used"),
)

# The order of publication: evidence first, then the rows, then what is derived from them.
TABLES = (REJECTS, MESSAGES, TURNS, ROOMS_DAILY, USERS_DAILY, SUMMARY_DAILY)
# Tables that hold sums and ids only, so that a view may show those of all tenants.
AGGREGATES = (ROOMS_DAILY, USERS_DAILY, SUMMARY_DAILY)

ROLES = ("user", "assistant", "system")
MAX_ID_LENGTH = 512

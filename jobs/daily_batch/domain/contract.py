"""The data contract: tables, columns and types, declared once (reject reasons and flags: `codes.py`).

Types are DuckDB's names; Arrow schemas, Delta schemas and docs/data-dictionary.md are derived from them.
"""

from dataclasses import dataclass
from typing import Literal

# What a column can tell of a person: what was said or sent, who or which object it is, or neither.
Holds = Literal["content", "identifier", "fact"]
# Types that can hold text. A column of such a type says what it holds; all others hold facts.
_TEXT_TYPES = ("VARCHAR", "BLOB", "STRUCT")


@dataclass(frozen=True)
class Column:
    """One column: its name, DuckDB type and meaning.

    `holds` is required of a column that can hold text: until it is decided, no view without content shows the column.
    """

    name: str
    type: str
    doc: str
    holds: Holds | None = None

    @property
    def is_undecided(self) -> bool:
        """Whether the column can hold text and does not say what it holds."""
        return self.holds is None and self.type.startswith(_TEXT_TYPES)

    @property
    def shows_content(self) -> bool:
        """Whether the column holds what was said or sent, or may hold it."""
        return self.holds == "content" or self.is_undecided


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
    Column("run_id", "VARCHAR", "the run that wrote the row", holds="identifier"),
    Column("processed_at", "TIMESTAMPTZ", "when that run began"),
)

MESSAGES = Table(
    "messages",
    "Every message of the day, once.",
    (
        DATE,
        Column("message_id", "VARCHAR", "from the body, else the file name (then flagged)", holds="identifier"),
        Column("room_id", "VARCHAR", "from the path, else the body", holds="identifier"),
        Column("user_id", "VARCHAR", "from the path, else the body; null when neither names one", holds="identifier"),
        Column("timestamp", "TIMESTAMPTZ", "when it was sent (UTC)"),
        Column("hour", "INTEGER", "local hour in BATCH_TIMEZONE, 0 to 23"),
        Column("role", "VARCHAR", "lower-cased; user, assistant or system, anything else is flagged", holds="fact"),
        Column("content", "VARCHAR", "exactly as sent; null and empty are kept", holds="content"),
        Column("message_length", "INTEGER", "code points of content; 0 when it is null"),
        Column("has_attachments", "BOOLEAN", "whether attachment_count is above 0"),
        Column("attachment_count", "INTEGER", "elements of attachments"),
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
        Column("flags", "VARCHAR[]", "every repair or doubt, by code, sorted; empty when there is none", holds="fact"),
        Column("source_key", "VARCHAR", "object that held the record, relative to the input root", holds="identifier"),
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
        Column("source_key", "VARCHAR", "object that held the record, relative to the input root", holds="identifier"),
        Column("source_line", "BIGINT", "line where the record begins; 0 for a whole object"),
        Column("reason", "VARCHAR", "code of the reason, or of the flag when the row is a copy", holds="fact"),
        Column("detail", "VARCHAR", "what was found, without message content", holds="fact"),
        Column("raw", "BLOB", "the original bytes", holds="content"),
        Column("raw_truncated", "BOOLEAN", "whether raw was cut at the documented limit"),
        *RUN,
    ),
    statistics=("source_key", "source_line", "reason"),
)

TOTALS = (
    Column("messages", "BIGINT", "messages"),
    Column("user_messages", "BIGINT", "messages with role user"),
    Column("assistant_messages", "BIGINT", "messages with role assistant"),
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
        Column("room_id", "VARCHAR", "room", holds="identifier"),
        Column("unique_users", "BIGINT", "distinct user_id in the room, messages without one left out"),
        *TOTALS,
        *RUN,
    ),
    statistics=("room_id", "messages", "tokens_used", "first_at", "last_at"),
)

USERS_DAILY = Table(
    "users_daily",
    "One row for each user who was active; messages without a user are in none.",
    (
        DATE,
        Column("user_id", "VARCHAR", "user", holds="identifier"),
        Column("unique_rooms", "BIGINT", "distinct room_id of the user"),
        *TOTALS,
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
        Column("average_length", "DOUBLE", "total_length / messages; null on an empty day"),
        Column("messages_by_hour", "BIGINT[]", "messages in each local hour, 24 numbers"),
        Column(
            "messages_by_role",
            "STRUCT(role VARCHAR, messages BIGINT)[]",
            "messages of each role, by role",
            holds="fact",
        ),
        *RUN,
    ),
    statistics=("messages", "unique_users", "unique_rooms", "tokens_used"),
)

# The order of publication: evidence first, then the rows, then what is derived from them.
TABLES = (REJECTS, MESSAGES, ROOMS_DAILY, USERS_DAILY, SUMMARY_DAILY)
# Tables that hold sums and ids only, so that a view may show those of all tenants.
AGGREGATES = (ROOMS_DAILY, USERS_DAILY, SUMMARY_DAILY)

ROLES = ("user", "assistant", "system")
MAX_ID_LENGTH = 512

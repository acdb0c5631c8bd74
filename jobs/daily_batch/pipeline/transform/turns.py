"""Pair each user message with its answer, in one pass over messages that are sorted already.

An answer is the room's next message with role user or assistant, if its role is assistant.
"""

import duckdb

# The order of messages in files and tables.
MESSAGE_ORDER = "room_id, timestamp, message_id"
TALKING = "role IN ('user', 'assistant')"
# Columns of a message that the turns need.
TURN_COLUMNS = ("room_id", "user_id", "timestamp", "message_id", "role", "message_length", "tokens_used", "agent_mode")
_ANSWER = ("message_id", "timestamp", "message_length", "tokens_used", "agent_mode")


def create_turns(connection: duckdb.DuckDBPyConnection, messages: str) -> None:
    """Create the temporary table `turns`, with the columns of TURNS that are not constant for a run.

    Windows `OVER ()` without an order stream: DuckDB keeps the order of rows and holds no partition in memory. With
    PARTITION BY and ORDER BY it would sort again, which took three times as long.

    Args:
        connection: Runs in one thread and preserves the order of insertion.
        messages: A query that yields whole rooms, sorted by MESSAGE_ORDER.
    """
    connection.execute(f"""
        CREATE TEMP TABLE turns AS
        WITH talk AS (
            SELECT *,
                   lag(room_id) OVER () IS NOT DISTINCT FROM room_id AS follows,
                   lead(room_id) OVER () IS NOT DISTINCT FROM room_id AS goes_on,
                   lead(role) OVER () AS next_role,
                   {", ".join(f"lead({name}) OVER () AS next_{name}" for name in _ANSWER)}
            FROM (SELECT {", ".join(TURN_COLUMNS)} FROM ({messages}) WHERE {TALKING})
        ), asked AS (
            SELECT *, goes_on AND next_role = 'assistant' AS answered,
                   lag(room_id) OVER () IS DISTINCT FROM room_id AS is_first, row_number() OVER () AS number
            FROM talk WHERE role = 'user'
        ), numbered AS (
            SELECT *, number + 1 - max(CASE WHEN is_first THEN number END) OVER (ROWS UNBOUNDED PRECEDING) AS turn
            FROM asked
        )
        SELECT room_id, turn, user_id, message_id AS user_message_id, timestamp AS user_at,
               message_length AS user_length,
               CASE WHEN answered THEN next_message_id END AS answer_message_id,
               CASE WHEN answered THEN next_timestamp END AS answered_at,
               CASE WHEN answered THEN (epoch_us(next_timestamp) - epoch_us(timestamp)) // 1000 END AS response_ms,
               CASE WHEN answered THEN next_message_length END AS answer_length,
               CASE WHEN answered THEN next_tokens_used END AS tokens_used,
               CASE WHEN answered THEN next_agent_mode END AS agent_mode,
               is_first AND follows AS starts_with_answer,
               NOT goes_on AS cut_by_midnight
        FROM numbered
    """)

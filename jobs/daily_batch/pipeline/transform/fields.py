"""The fields of a message as sent, not yet interpreted: where the fast and the general path meet."""

# name -> DuckDB type. `attachments`, `generated_images` and `rag_sources` are JSON texts: arrays of objects that hold
# listed fields only (see ATTACHMENT_FIELDS, …), typed where the table is written. `extras` is JSON text, too; `doubts`
# are flags, and `numeric` is `name=digits` of each id that was sent as a number, both joined by commas.
FIELDS = {
    "message_id": "VARCHAR",
    "id": "VARCHAR",
    "user_id": "VARCHAR",
    "room_id": "VARCHAR",
    "chat_id": "VARCHAR",
    "timestamp": "VARCHAR",
    "role": "VARCHAR",
    "content": "VARCHAR",
    "attachments": "VARCHAR",
    "generated_images": "VARCHAR",
    "rag_sources": "VARCHAR",
    "agent_mode": "VARCHAR",
    "execution_time_ms": "BIGINT",
    "tokens_used": "BIGINT",
    "extras": "VARCHAR",
    "doubts": "VARCHAR",
    "numeric": "VARCHAR",
}

IDS = ("message_id", "id", "user_id", "room_id", "chat_id")

# Where a record stood: index of its object in the batch, line, first byte and length in the decoded text.
PLACE = {"source": "INTEGER", "line": "BIGINT", "start": "BIGINT", "length": "BIGINT"}

# The elements of the arrays: field -> "text", "integer" or "number".
ATTACHMENT_FIELDS = {"type": "text", "url": "text", "thumbnail": "text", "name": "text", "size": "integer"}
IMAGE_FIELDS = {"url": "text", "thumbnail": "text", "prompt": "text", "size": "text", "style": "text"}
SOURCE_FIELDS = {"title": "text", "source": "text", "text": "text", "score": "number"}
# Column -> fields of its elements.
ARRAYS = {"attachments": ATTACHMENT_FIELDS, "generated_images": IMAGE_FIELDS, "rag_sources": SOURCE_FIELDS}
MAX_BIGINT = 2**63 - 1

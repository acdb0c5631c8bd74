"""The fields of a message as they were sent, typed but not yet interpreted: where the fast and the strict path meet."""

from daily_batch.contract import ATTACHMENT, GENERATED_IMAGE, RAG_SOURCE

# name -> DuckDB type. `extras` is JSON text; `doubts` are flags, and `numeric` the
# names of ids that were sent as integers, joined by commas.
FIELDS = {
    "message_id": "VARCHAR",
    "id": "VARCHAR",
    "user_id": "VARCHAR",
    "room_id": "VARCHAR",
    "chat_id": "VARCHAR",
    "timestamp": "VARCHAR",
    "role": "VARCHAR",
    "content": "VARCHAR",
    "attachments": f"{ATTACHMENT}[]",
    "generated_images": f"{GENERATED_IMAGE}[]",
    "rag_sources": f"{RAG_SOURCE}[]",
    "agent_mode": "VARCHAR",
    "execution_time_ms": "BIGINT",
    "tokens_used": "BIGINT",
    "extras": "VARCHAR",
    "doubts": "VARCHAR",
    "numeric": "VARCHAR",
}

# Where a record stood: index of its object in the batch, line, first byte and length in the decoded text.
PLACE = {"source": "INTEGER", "line": "BIGINT", "start": "BIGINT", "length": "BIGINT"}

# The elements of the arrays: field -> "text", "integer" or "number".
ATTACHMENT_FIELDS = {"type": "text", "url": "text", "thumbnail": "text", "name": "text", "size": "integer"}
IMAGE_FIELDS = {"url": "text", "thumbnail": "text", "prompt": "text", "size": "text", "style": "text"}
SOURCE_FIELDS = {"title": "text", "source": "text", "text": "text", "score": "number"}

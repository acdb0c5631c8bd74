"""The fields of a message before normalization: the schema that the fast path and the general path both produce."""

# Field name -> DuckDB type. `attachments`, `generated_images` and `rag_sources` are JSON arrays of objects that hold
# only the listed fields (ATTACHMENT_FIELDS and so on); they are typed when the table is written. `extras` is a JSON
# object. `parse_flags` holds the flags that parsing raised, and `numeric` one `name=digits` for each id that was sent
# as a number; both are comma-separated.
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
    "parse_flags": "VARCHAR",
    "numeric": "VARCHAR",
}

IDS = ("message_id", "id", "user_id", "room_id", "chat_id")

# Location of a record: index of its object in the batch, line, and first byte and length in the decoded text.
LOCATION = {"source": "INTEGER", "line": "BIGINT", "start": "BIGINT", "length": "BIGINT"}

# Fields of the array elements: field name -> "text", "integer" or "number".
ATTACHMENT_FIELDS = {"type": "text", "url": "text", "thumbnail": "text", "name": "text", "size": "integer"}
IMAGE_FIELDS = {"url": "text", "thumbnail": "text", "prompt": "text", "size": "text", "style": "text"}
SOURCE_FIELDS = {"title": "text", "source": "text", "text": "text", "score": "number"}
# Array column -> fields of its elements.
ARRAYS = {"attachments": ATTACHMENT_FIELDS, "generated_images": IMAGE_FIELDS, "rag_sources": SOURCE_FIELDS}
MAX_BIGINT = 2**63 - 1

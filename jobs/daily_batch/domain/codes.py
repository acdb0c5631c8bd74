"""The data contract's codes: reject reasons and flags, each with its meaning and an example, declared once."""

from enum import StrEnum


class Code(StrEnum):
    """A code with its meaning and an example, from which docs/data-dictionary.md is generated."""

    meaning: str
    example: str

    def __new__(cls, code: str, meaning: str, example: str) -> "Code":
        """Attach meaning and example to the code."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        member.example = example
        return member


class Reason(Code):
    """Why a record or object is in `rejects`. Reasons of whole objects come first; their rows have line 0."""

    CORRUPT_COMPRESSION = (
        "corrupt_compression",
        "the object's gzip or zstd stream is truncated, fails its checksum or has garbage behind it, or only its name"
        " promises one",
        "the first half of part-0001.jsonl.gz",
    )
    DECOMPRESSION_BOMB = (
        "decompression_bomb",
        "the object expands beyond max_expansion_ratio or max_object_bytes",
        "10 KB of gzip that become 10 GB of zeros",
    )
    UNSUPPORTED_ENCODING = (
        "unsupported_encoding",
        "the byte order mark says UTF-16 or UTF-32, and the object does not decode as such",
        "FF FE and an odd number of bytes",
    )
    FOREIGN_FORMAT = (
        "foreign_format",
        "the object is another format, which detail names: an archive, a Parquet file, an image, a compression within"
        " the compression, or other binary data",
        "a tar within part-0001.jsonl.gz",
    )
    INVALID_NAME = (
        "invalid_name",
        "the object's name has a part that is empty, . or .., or a control character (on a local file system also: is"
        " not UTF-8, or ends in # and digits)",
        "part//0001.jsonl, or data#1",
    )
    INVALID_LINK = (
        "invalid_link",
        "on a local file system: a symbolic link that leads out of the tenant's folder, nowhere, or in a circle",
        "part.jsonl -> ../../globex/part.jsonl",
    )
    INVALID_JSON = (
        "invalid_json",
        "not strict JSON (RFC 8259), or text between records",
        "{'role': 'user'} or {\"tokens_used\": NaN}",
    )
    INVALID_UTF8 = ("invalid_utf8", "the record's bytes are not UTF-8", "a byte FF, or the overlong C0 AF")
    DUPLICATE_KEY = ("duplicate_key", "an object in the record names a key twice", '{"content": "a", "content": "b"}')
    NOT_AN_OBJECT = ("not_an_object", "JSON, but not an object", '42 or "text"')
    WRAPPER_OBJECT = (
        "wrapper_object",
        "an object that holds a list of objects, no message itself; export one message a line, or the list alone",
        '{"messages": [{…}, {…}]}',
    )
    TOO_DEEP = ("too_deep", "nested deeper than max_depth", "100,000 opening brackets")
    RECORD_TOO_LARGE = ("record_too_large", "longer than max_record_bytes", "a message of 21 MB")
    INVALID_ID = (
        "invalid_id",
        "a message or room id is absent or empty, or an id is longer than 512 characters, holds U+0000 or is neither"
        " text nor a whole number",
        '{"message_id": ["a"]}',
    )
    INVALID_TIMESTAMP = (
        "invalid_timestamp",
        "the timestamp cannot be read, or is absent and the file name has none",
        '{"timestamp": "yesterday"}',
    )
    TIMESTAMP_OUTSIDE_WINDOW = (
        "timestamp_outside_window",
        "the timestamp belongs to a business day whose run does not read this object",
        "a message of 2024 in an object of 2025-08-12",
    )
    SUPERSEDED = (
        "superseded",
        "another record with the same room_id and message_id and another body won: latest timestamp, then latest"
        " object, then greatest source_key and line",
        "the first version of an edited message",
    )


class Flag(Code):
    """A repair of a published row, or an uncertainty about it."""

    MESSAGE_ID_FROM_ALIAS = ("message_id_from_alias", "message_id was sent as `id`", '{"id": "m1"}')
    MESSAGE_ID_FROM_PATH = ("message_id_from_path", "message_id was absent; it is the file name's", "…Z-m1.json")
    MESSAGE_ID_CONFLICT = (
        "message_id_conflict",
        "message_id and `id`, or the file name, disagree; the body's message_id is kept, the other goes to extras",
        '{"message_id": "m1", "id": "m2"}',
    )
    NUMERIC_ID = (
        "numeric_id",
        "an id was sent as a whole number; its digits are kept as text",
        '{"message_id": 12345}',
    )
    USER_ID_FROM_PATH = ("user_id_from_path", "user_id was absent; it is the path's", "…/chat/user456/…")
    NO_USER = (
        "no_user",
        "the message names no user: user_id is absent, null or empty, and the path has none; the column is null",
        '{"user_id": ""}',
    )
    USER_CONFLICT = (
        "user_conflict",
        "the body names another user than the path; the path's is kept",
        '{"user_id": "eve"}',
    )
    ROOM_ID_FROM_ALIAS = ("room_id_from_alias", "room_id was sent as `chat_id`", '{"chat_id": "roomA"}')
    ROOM_ID_FROM_PATH = ("room_id_from_path", "room_id was absent; it is the path's", "…/roomA/messages/…")
    ROOM_CONFLICT = (
        "room_conflict",
        "the body names another room than the path, or room_id and chat_id disagree; the path's, else room_id is kept",
        '{"room_id": "a", "chat_id": "b"}',
    )
    TENANT_CONFLICT = ("tenant_conflict", "the body names another tenant than the path", '{"tenant_id": "globex"}')
    NAIVE_TIMESTAMP = (
        "naive_timestamp",
        "the timestamp had no zone; it was read in NAIVE_TIMEZONE",
        '{"timestamp": "2025-08-12T23:36:05.123456"}',
    )
    TIMESTAMP_FROM_PATH = (
        "timestamp_from_path",
        "the timestamp was absent or null; it is the file name's",
        "12-34-56.789Z-…",
    )
    TIMESTAMP_FORMAT = (
        "timestamp_format",
        "the timestamp was read from another form: a number since 1970, or a date, time or zone written otherwise",
        '{"timestamp": 1754966165123}',
    )
    LEAP_SECOND = ("leap_second", "second 60 was read as second 59", '{"timestamp": "2016-12-31T23:59:60Z"}')
    UNKNOWN_ROLE = ("unknown_role", "role is absent or none of user, assistant, system", '{"role": "tool"}')
    ROLE_CASE = ("role_case", "role was not in lower case", '{"role": "User"}')
    NULL_CONTENT = ("null_content", "content is null or absent", '{"content": null}')
    EMPTY_CONTENT = ("empty_content", "content is an empty text", '{"content": ""}')
    REPLACED_SURROGATE = (
        "replaced_surrogate",
        "a lone surrogate became U+FFFD; the original bytes are in rejects as a copy",
        '{"content": "\\ud800"}',
    )
    ALIASED_FIELD = (
        "aliased_field",
        "a field came under another name: images, crawl_sources, or content of a rag source",
        '{"images": []}',
    )
    WRONG_TYPE = ("wrong_type", "a value had the wrong type; it went to extras and the column is null", '{"role": 7}')
    OUT_OF_RANGE = (
        "out_of_range",
        "a number does not fit its column or is negative; it went to extras and the column is null",
        '{"tokens_used": 1e400}',
    )
    INEXACT_NUMBER = (
        "inexact_number",
        "a score has more digits than a DOUBLE holds; the column has the nearest DOUBLE, and the array went to extras"
        " as sent",
        '{"score": 9007199254740993}',
    )
    BAD_ELEMENT = (
        "bad_element",
        "an element of an array was not as specified; the array went to extras as sent, what fits is in the column",
        '{"attachments": [3, {"url": "…"}]}',
    )

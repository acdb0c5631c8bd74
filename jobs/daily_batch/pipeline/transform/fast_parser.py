"""The fast path: DuckDB extracts the fields of strict JSON texts and verifies that it extracted all of them.

DuckDB's JSON functions are lenient: they ignore keys that the query does not name, take the first of two equal keys,
and return a number or an object as text where text is requested (measured on 2.0.0). So a text is verified only if

- it has as many keys as fields were found in it, so that none is unlisted, duplicated or null; or its other keys are
  common schema drift (`schema_drift`);
- no text field looks like a value of another type; where one does, `json_type` decides, and an id may be a whole
  number;
- each array or object of a listed field has, in DuckDB's compact form, only its listed fields, each at most once.

A text that is not verified goes to the general path (`general_path`), which parses it record by record.
"""

import json

import duckdb

from daily_batch.pipeline.transform import schema_drift
from daily_batch.pipeline.transform.duckdb_session import add_columns, quote_text
from daily_batch.pipeline.transform.fields import ATTACHMENT_FIELDS, FIELDS, IDS, IMAGE_FIELDS, LOCATION, SOURCE_FIELDS

TEXTS = (*IDS, "timestamp", "role", "content")
NESTED = ("attachments", "generated_images", "context", "agent_info")

# Patterns of DuckDB's compact form, in which an optional comma can only be a separator.
TEXT = r'"(?:[^"\\]|\\.)*"'
VALUES = {"text": TEXT, "integer": "[0-9]{1,18}", "number": "-?[0-9]{1,15}(?:[.][0-9]+)?"}
AGENT_FIELDS = {"mode": "text", "execution_time_ms": "integer", "tokens_used": "integer"}


def _object_pattern(fields: dict[str, str]) -> str:
    """Return the pattern of an object with these fields in this order, each at most once; any may be null."""
    return r"\{" + "".join(f"(?:{_member_pattern(name, kind)},?)?" for name, kind in fields.items()) + r"\}"


def _member_pattern(name: str, kind: str) -> str:
    """Return the pattern of a field; the `content` of a source may stand for its `text`."""
    member = f'"{name}":(?:{VALUES[kind]}|null)'
    return f"(?:{member}|{schema_drift.CONTENT_KEY}{TEXT})" if name == "text" else member


def _array_pattern(fields: dict[str, str]) -> str:
    return rf"\[(?:{_object_pattern(fields)},?)*\]"


# Column -> pattern; `images` and `context` hold what was sent under any of their names (see `schema_drift`).
PATTERNS = {
    "r.attachments": _array_pattern(ATTACHMENT_FIELDS),
    "images": _array_pattern(IMAGE_FIELDS),
    "context": rf'\{{"(?:rag|crawl)_sources":{_array_pattern(SOURCE_FIELDS)}\}}',
    "r.agent_info": _object_pattern(AGENT_FIELDS),
}
AGENT_TYPES = json.dumps({"mode": "VARCHAR", "execution_time_ms": "BIGINT", "tokens_used": "BIGINT"})
TRANSFORM = json.dumps({**dict.fromkeys(TEXTS, "VARCHAR"), **dict.fromkeys(NESTED, "JSON")})
# Depth of a message as specified: message, context, list, source.
MAX_VERIFIED_DEPTH = 4

MACROS = r"""
CREATE OR REPLACE TEMP MACRO is_surely_text(s) AS
    s IS NULL OR NOT (s < ':' OR (s >= '[' AND s < '\') OR (s >= '{' AND s < '|') OR s = 'true' OR s = 'false');
CREATE OR REPLACE TEMP MACRO own_tenant() AS to_json({tenant})::VARCHAR;
"""


def prepare(connection: duckdb.DuckDBPyConnection, tenant: str) -> None:
    """Create the macros that the queries use."""
    connection.execute(MACROS.replace("{tenant}", quote_text(tenant)))


def _build_query(readable: str) -> str:
    """Return the query; `readable` is the text, or null where DuckDB's JSON functions would fail on it."""
    present = " + ".join(f"(r.{name} IS NOT NULL)::INT" for name in (*TEXTS, *NESTED))
    # DuckDB returns a number, a literal, an object or an array as text that begins like one. Roles are few, and an
    # instant begins with a digit but mostly ends with a Z, which no other type does.
    others = " AND ".join(f"is_surely_text(r.{name})" for name in TEXTS if name not in ("role", "timestamp"))
    surely_texts = f"""(r.role IN ('user', 'assistant', 'system') OR is_surely_text(r.role))
        AND (suffix(r.timestamp, 'Z') OR is_surely_text(r.timestamp)) AND {others}"""
    paths = [f"$.{name}" for name in TEXTS]
    nested = " AND ".join(
        f"coalesce(regexp_full_match({name}, '{pattern}'), true)" for name, pattern in PATTERNS.items()
    )
    # DuckDB writes the shortest digits of a DOUBLE. They equal the sent digits if the text contains them, or if the
    # number has no more digits than a DOUBLE always keeps and is not too small; otherwise the general path compares.
    scores = """CASE WHEN context IS NULL THEN true WHEN contains(text, context) THEN true
        ELSE NOT regexp_matches(text, '[0-9][0-9.]{15}|[0-9.][eE]-[0-9]{3}') END"""
    columns = {
        **{name: f"r.{name}" for name in TEXTS},
        "attachments": "r.attachments",
        "generated_images": "images",
        "rag_sources": schema_drift.SOURCES,
        "numeric": "numbers",
        "agent_mode": "agent.mode",
        "execution_time_ms": "agent.execution_time_ms",
        "tokens_used": "agent.tokens_used",
    }
    source = add_columns(
        "batch",
        # CASE wraps the function's argument, not its result: DuckDB would copy a result of nested type.
        {"r": f"json_transform({readable}, '{TRANSFORM}')", "keys": f"len(json_keys({readable}))"},
        {"present": present, "types": f"json_type(CASE WHEN NOT ({surely_texts}) THEN text END, {paths})"},
        *schema_drift.build_layers(IDS, TEXTS, NESTED),
        {
            "verified": f"""coalesce(drift_verified AND present > 0 AND starts_with(text, '{{')
                AND {nested} AND {scores}, false)"""
        },
        {"agent": f"json_transform(CASE WHEN verified THEN r.agent_info END, '{AGENT_TYPES}')"},
    )
    chosen = ", ".join(f"{columns.get(name, name)} AS {name}" for name in FIELDS)
    return f"SELECT piece, {', '.join(LOCATION)}, {chosen}, verified FROM {source}"


# Each query reads the table `batch` (see split.TextBatch.to_table) into the columns piece, LOCATION, FIELDS and
# `verified`; the other columns of a row that is not verified are invalid. CAUTIOUS_QUERY is for batches on which QUERY
# fails.
QUERY = _build_query("text")
CAUTIOUS_QUERY = _build_query("CASE WHEN json_valid(text) THEN text END")

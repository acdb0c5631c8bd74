"""The fast path: DuckDB extracts the fields of texts that are strict JSON, and proves that it has them all.

DuckDB's JSON functions are lenient: they ignore keys that nobody asked for, take the first of two equal keys, and give
a number or an object as text where a text is asked for (measured on 2.0.0). So a text is proven only if

- it has as many keys as fields were found in it: then none is unlisted, none comes twice, none is null; or what else
  it has is usual drift (`drift`);
- no field that must be a text looks like a value of another type; where one does, `json_type` decides, and an id may be
  a whole number;
- each array or object of a listed field has, in DuckDB's own compact form, its listed fields only, each at most once.

What is not proven goes to the general path (`general`), which reads it record by record.
"""

import json

import duckdb

from daily_batch.pipeline.transform import schema_drift
from daily_batch.pipeline.transform.duckdb_session import add_columns, quote_text
from daily_batch.pipeline.transform.fields import ATTACHMENT_FIELDS, FIELDS, IDS, IMAGE_FIELDS, PLACE, SOURCE_FIELDS

TEXTS = (*IDS, "timestamp", "role", "content")
NESTED = ("attachments", "generated_images", "context", "agent_info")

# In DuckDB's compact form, so that an optional comma is one that belongs there.
TEXT = r'"(?:[^"\\]|\\.)*"'
VALUES = {"text": TEXT, "integer": "[0-9]{1,18}", "number": "-?[0-9]{1,15}(?:[.][0-9]+)?"}
AGENT_FIELDS = {"mode": "text", "execution_time_ms": "integer", "tokens_used": "integer"}


def _object_pattern(fields: dict[str, str]) -> str:
    """Return the pattern of an object with these fields, in this order, each at most once; any may be null."""
    return r"\{" + "".join(f"(?:{_member_pattern(name, kind)},?)?" for name, kind in fields.items()) + r"\}"


def _member_pattern(name: str, kind: str) -> str:
    """Return the pattern of a field; `content` stands for the `text` of a source, if it is one."""
    member = f'"{name}":(?:{VALUES[kind]}|null)'
    return f"(?:{member}|{schema_drift.CONTENT_KEY}{TEXT})" if name == "text" else member


def _array_pattern(fields: dict[str, str]) -> str:
    return rf"\[(?:{_object_pattern(fields)},?)*\]"


# Of columns: `images` and `context` hold what was sent under any of their names (see `drift`).
PATTERNS = {
    "r.attachments": _array_pattern(ATTACHMENT_FIELDS),
    "images": _array_pattern(IMAGE_FIELDS),
    "context": rf'\{{"(?:rag|crawl)_sources":{_array_pattern(SOURCE_FIELDS)}\}}',
    "r.agent_info": _object_pattern(AGENT_FIELDS),
}
AGENT_TYPES = json.dumps({"mode": "VARCHAR", "execution_time_ms": "BIGINT", "tokens_used": "BIGINT"})
TRANSFORM = json.dumps({**dict.fromkeys(TEXTS, "VARCHAR"), **dict.fromkeys(NESTED, "JSON")})
# A message holds a context, that a list, that sources.
DEEPEST_PROVEN = 4

MACROS = r"""
CREATE OR REPLACE TEMP MACRO is_surely_text(s) AS
    s IS NULL OR NOT (s < ':' OR (s >= '[' AND s < '\') OR (s >= '{' AND s < '|') OR s = 'true' OR s = 'false');
CREATE OR REPLACE TEMP MACRO own_tenant() AS to_json({tenant})::VARCHAR;
"""


def prepare(connection: duckdb.DuckDBPyConnection, tenant: str) -> None:
    """Make the macros that the queries use."""
    connection.execute(MACROS.replace("{tenant}", quote_text(tenant)))


def _build_query(readable: str) -> str:
    """Return the query; `readable` is the text where DuckDB's JSON functions take it without an error, else null."""
    present = " + ".join(f"(r.{name} IS NOT NULL)::INT" for name in (*TEXTS, *NESTED))
    # A number, a literal, an object or an array comes as text that begins like one.
    # Roles are few, and an instant begins with a digit but mostly ends with a Z, as nothing but text does.
    others = " AND ".join(f"is_surely_text(r.{name})" for name in TEXTS if name not in ("role", "timestamp"))
    surely_texts = f"""(r.role IN ('user', 'assistant', 'system') OR is_surely_text(r.role))
        AND (suffix(r.timestamp, 'Z') OR is_surely_text(r.timestamp)) AND {others}"""
    paths = [f"$.{name}" for name in TEXTS]
    nested = " AND ".join(
        f"coalesce(regexp_full_match({name}, '{pattern}'), true)" for name, pattern in PATTERNS.items()
    )
    # DuckDB writes the shortest digits of a DOUBLE. Those as sent are the same where the text holds them, or are
    # not more than a DOUBLE always keeps, of a number that is not too small for one; else the general path compares.
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
        # A CASE stands around what a function is given, not around what it gives: that of nested type is copied.
        {"r": f"json_transform({readable}, '{TRANSFORM}')", "keys": f"len(json_keys({readable}))"},
        {"present": present, "types": f"json_type(CASE WHEN NOT ({surely_texts}) THEN text END, {paths})"},
        *schema_drift.build_layers(IDS, TEXTS, NESTED),
        {
            "proven": f"""coalesce(drift_proven AND present > 0 AND starts_with(text, '{{')
                AND {nested} AND {scores}, false)"""
        },
        {"agent": f"json_transform(CASE WHEN proven THEN r.agent_info END, '{AGENT_TYPES}')"},
    )
    chosen = ", ".join(f"{columns.get(name, name)} AS {name}" for name in FIELDS)
    return f"SELECT piece, {', '.join(PLACE)}, {chosen}, proven FROM {source}"


# Each reads the table `batch` (see pieces.Pieces.to_table) into the columns piece, PLACE, FIELDS and `proven`; what was
# read of a piece that is not proven is not to be used. The second one is for batches that make the first one fail.
QUERY = _build_query("text")
CAUTIOUS_QUERY = _build_query("CASE WHEN json_valid(text) THEN text END")

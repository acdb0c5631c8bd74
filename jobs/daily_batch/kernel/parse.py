"""The fast path: DuckDB reads a batch of texts and proves, text by text, that it read all of it.

DuckDB's JSON functions are lenient (measured on 2.0.0: NaN, trailing commas, duplicate keys and unknown keys pass), so
a text counts as proven only when its double quotes add up: each key that was read stands for two, each text for two
and those in it. A key too many, a key twice, a null or a value of another type breaks the sum. What the sum cannot see
is tested by itself: a comma before a closing bracket, a text that looks like another type, what is inside of an array
or object. A text whose sum leaves something over gets a second look: nulls, and unlisted fields that are plain.
"""

import json

from daily_batch.kernel.database import add_columns
from daily_batch.kernel.fields import ATTACHMENT_FIELDS, FIELDS, IMAGE_FIELDS, PLACE, SOURCE_FIELDS

SHORT_TEXTS = ("message_id", "id", "user_id", "room_id", "chat_id", "timestamp", "role")
TEXTS = (*SHORT_TEXTS, "content")
# Unlisted fields with a meaning of their own: the strict path knows it.
SPECIAL = ("images", "crawl_sources", "tenant_id")

NUMBER = "-?[0-9]+(?:[.][0-9]+)?(?:[eE][+-]?[0-9]+)?"
# In DuckDB's own compact form, so that an optional comma is one that belongs there.
TEXT = r'"(?:[^"\\]|\\.)*"'
VALUES = {
    "text": f"(?:{TEXT}|null)",
    "integer": "(?:[0-9]{1,18}|null)",
    "number": "(?:-?[0-9]{1,15}(?:[.][0-9]+)?|null)",
}
# (But -0, which DuckDB gives as 0, is looked for in the text.)
PLAIN_OBJECT = rf"\{{(?:{TEXT}:(?:{TEXT}|-?[0-9]{{1,18}}|true|false|null),?)*\}}"


def _object_pattern(fields: dict[str, str]) -> str:
    """An object with these fields, in this order, each at most once."""
    return r"\{" + "".join(f'(?:"{name}":{VALUES[kind]},?)?' for name, kind in fields.items()) + r"\}"


def _array_pattern(fields: dict[str, str]) -> str:
    return rf"\[(?:{_object_pattern(fields)},?)*\]"


AGENT_FIELDS = {"mode": "text", "execution_time_ms": "integer", "tokens_used": "integer"}
PATTERNS = {
    "attachments": f"(?:{_array_pattern(ATTACHMENT_FIELDS)}|null)",
    "generated_images": f"(?:{_array_pattern(IMAGE_FIELDS)}|null)",
    "context": rf'(?:\{{(?:"rag_sources":(?:{_array_pattern(SOURCE_FIELDS)}|null))?\}}|null)',
    "agent_info": f"(?:{_object_pattern(AGENT_FIELDS)}|null)",
}


def _array_types(fields: dict[str, str]) -> list[dict[str, str]]:
    return [{name: {"text": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE"}[kind] for name, kind in fields.items()}]


# What is in the arrays and objects, read from their own text by another look: few records have any.
TYPES = {
    "attachments": _array_types(ATTACHMENT_FIELDS),
    "generated_images": _array_types(IMAGE_FIELDS),
    "context": {"rag_sources": _array_types(SOURCE_FIELDS)},
    "agent_info": _array_types(AGENT_FIELDS)[0],
}
TRANSFORM = json.dumps({**dict.fromkeys(TEXTS, "VARCHAR"), **dict.fromkeys(PATTERNS, "JSON")})
# TRY(json_transform(…)) would spare the first look, but one broken text makes it go row by row through 2,048 others.
READ = f"CASE WHEN json_valid(text) THEN json_transform(text, '{TRANSFORM}') END"
WITHOUT_KNOWN = json.dumps(dict.fromkeys((*TEXTS, *PATTERNS)))

# DuckDB gives numbers, literals, objects and arrays as text where a text is asked for. The short ones are looked at in
# one go, behind a mark each; of contents few begin like another type or are as short as a literal.
MARK = r"\x01"
OTHERWISE = rf"{MARK}(?:{NUMBER}|true|false|null|NaN|-?Infinity|\{{[^{MARK}]*|\[[^{MARK}]*){MARK}"
MACROS = """
CREATE OR REPLACE TEMP MACRO quotes_in(s) AS strlen(s) - strlen(replace(s, '"', ''));
CREATE OR REPLACE TEMP MACRO looks_otherwise(s) AS
    coalesce(s < ':' OR (s >= '[' AND s < '\\') OR (s >= '{' AND s < '|') OR strlen(s) < 10, false);
"""


def _build_query() -> str:
    # A key and a text are two double quotes each; ids and the like hold none, or the text is not proven.
    quotes = [f"CASE WHEN r.{name} IS NULL THEN 0 ELSE 4 END" for name in TEXTS]
    quotes += ["coalesce(quotes_in(r.content), 0)"]
    quotes += [f"CASE WHEN r.{name} IS NULL THEN 0 ELSE 2 + quotes_in(r.{name}) END" for name in PATTERNS]
    short = (
        "chr(1) || " + " || chr(1) || chr(1) || ".join(f"coalesce(r.{name}, '')" for name in SHORT_TEXTS) + " || chr(1)"
    )
    paths = [f"$.{name}" for name in TEXTS]
    doubts = [
        "contains(short, '\"')",
        f"""CASE WHEN regexp_matches(short, '{OTHERWISE}') OR looks_otherwise(r.content)
            THEN len(list_filter(json_type(text, {paths}), lambda t: t <> 'VARCHAR' AND t <> 'NULL')) > 0
            ELSE false END""",
    ]
    doubts += [f"coalesce(NOT regexp_full_match(r.{name}, '{pattern}'), false)" for name, pattern in PATTERNS.items()]
    doubts += [r"regexp_matches(text, ',[ \t\r\n]*[}\]]')", r"contains(text, '\u0022')"]
    doubt = " OR ".join(doubts)
    present = " + ".join(f"(r.{name} IS NOT NULL)::INT" for name in (*TEXTS, *PATTERNS))
    known = [*TEXTS, *PATTERNS]
    plain_rest = f"""len(keys) = len(list_distinct(keys)) AND NOT list_has_any(keys, {list(SPECIAL)})
        AND regexp_full_match(rest, '{PLAIN_OBJECT}') AND NOT regexp_matches(text, ':[ \\t\\r\\n]*-0')
        AND missing = quotes_in(rest) + 2 * (len(list_intersect(keys, {known})) - present)"""
    columns = {
        **{name: f"r.{name}" for name in TEXTS},
        **{
            name: f"json_transform(r.{name}, '{json.dumps(TYPES[name])}')"
            for name in ("attachments", "generated_images")
        },
        "rag_sources": f"json_transform(r.context, '{json.dumps(TYPES['context'])}').rag_sources",
        "agent_mode": "agent.mode",
        "execution_time_ms": "agent.execution_time_ms",
        "tokens_used": "agent.tokens_used",
        "extras": "CASE WHEN rest <> '{}' THEN rest END",
        "doubts": "''",
        "numeric": "''",
    }
    agent_types = json.dumps(TYPES["agent_info"])
    # CASE, not AND: JSON functions fail on text that is no JSON, and only CASE keeps them from seeing it.
    source = add_columns(
        "batch",
        {"r": READ},
        {"short": short},
        {"missing": f"quotes - ({' + '.join(quotes)})", "present": present, "doubtful": f"coalesce({doubt}, true)"},
        {"second_look": "r IS NOT NULL AND missing > 0"},
        {
            "keys": "CASE WHEN second_look THEN json_keys(text) END",
            "rest": f"CASE WHEN second_look THEN json_merge_patch(text, '{WITHOUT_KNOWN}')::VARCHAR END",
            "agent": f"CASE WHEN NOT doubtful THEN json_transform(r.agent_info, '{agent_types}') END",
        },
    )
    chosen = ", ".join(f"{columns[name]} AS {name}" for name in FIELDS)
    return f"""
        SELECT piece, {", ".join(PLACE)}, {chosen}, coalesce(CASE
            WHEN r IS NULL OR present = 0 OR doubtful OR NOT starts_with(text, '{{') THEN false
            WHEN missing <= 0 THEN missing = 0 ELSE {plain_rest} END, false) AS proven
        FROM {source}
    """


# Reads the table `batch` (see pieces.Pieces.to_table) into the columns piece, PLACE, FIELDS and `proven`; what was read
# of a piece that is not proven is not to be used.
QUERY = _build_query()

"""The fast path: DuckDB reads a batch of texts and proves, text by text, that it read all of it.

DuckDB's JSON functions are lenient (measured on 2.0.0: NaN, trailing commas, duplicate keys and unknown keys pass), so
a text counts as proven only when its double quotes add up: each key that was read stands for two, each text for two
and those in it. A key too many, a key twice, a null or a value of another type breaks the sum. What the sum cannot see
is tested by itself: a comma before a closing bracket, texts that look like another type, numbers that do not fit.
"""

import json

from daily_batch.kernel.fields import ATTACHMENT_FIELDS, FIELDS, IMAGE_FIELDS, PLACE, SOURCE_FIELDS

TEXTS = ("message_id", "id", "user_id", "room_id", "chat_id", "timestamp", "role")
OBJECTS = ("context", "attachments", "generated_images", "agent_info")
NULL_ALIASES = ("images", "crawl_sources")
NUMBER = "-?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]+)?"
WHOLE = "[0-9]{1,18}"


def _leaf_types(fields: dict[str, str]) -> dict[str, str]:
    return {name: "VARCHAR" if kind == "text" else "JSON" for name, kind in fields.items()}


TRANSFORM = json.dumps(
    {
        **dict.fromkeys((*TEXTS, "content"), "VARCHAR"),
        "attachments": [_leaf_types(ATTACHMENT_FIELDS)],
        "generated_images": [_leaf_types(IMAGE_FIELDS)],
        "context": {"rag_sources": [_leaf_types(SOURCE_FIELDS)]},
        "agent_info": {"mode": "VARCHAR", "execution_time_ms": "JSON", "tokens_used": "JSON"},
    }
)

# TRY(json_transform(…)) would spare the first look, but one broken text makes it go row by row through 2,048 others.
READ = f"CASE WHEN json_valid(text) THEN json_transform(text, '{TRANSFORM}') END"

# Double quotes that a text takes: its own two and its key's, and those in it.
# Not `s IN (…)`: from five values on DuckDB makes a hash join of it, and of each of its uses.
MACROS = f"""
CREATE OR REPLACE TEMP MACRO quotes_of(s) AS
    CASE WHEN s IS NULL THEN 0 ELSE 4 + strlen(s) - strlen(replace(s, '"', '')) END;
CREATE OR REPLACE TEMP MACRO looks_otherwise(s) AS coalesce(
    CASE WHEN s >= '-' AND s < ':' THEN regexp_full_match(s, '{NUMBER}')
         ELSE starts_with(s, '{{') OR starts_with(s, '[')
              OR s = 'true' OR s = 'false' OR s = 'null' OR s = 'NaN' OR s = 'Infinity' OR s = '-Infinity' END, false);
CREATE OR REPLACE TEMP MACRO no_whole(j) AS coalesce(NOT regexp_full_match(j, '{WHOLE}'), false);
CREATE OR REPLACE TEMP MACRO no_number(j) AS coalesce(NOT (regexp_full_match(j, '{NUMBER}')
    AND isfinite(TRY_CAST(j AS DOUBLE))), false);
"""


def _element_quotes(fields: dict[str, str]) -> str:
    terms = (
        f"quotes_of(e.{name})" if kind == "text" else f"(CASE WHEN e.{name} IS NULL THEN 0 ELSE 2 END)"
        for name, kind in fields.items()
    )
    return " + ".join(terms)


def _element_doubt(fields: dict[str, str]) -> str:
    tests = {"text": "looks_otherwise", "integer": "no_whole", "number": "no_number"}
    return "e IS NULL OR " + " OR ".join(f"{tests[kind]}(e.{name})" for name, kind in fields.items())


def _array_sql(path: str, fields: dict[str, str], type_name: str) -> tuple[str, str, str]:
    """Quotes that an array's elements take, whether one is doubtful, and the array as its column."""
    quotes = f"list_sum(list_transform({path}, lambda e: {_element_quotes(fields)}))"
    doubt = f"list_bool_or(list_transform({path}, lambda e: {_element_doubt(fields)}))"
    return (
        f"CASE WHEN len({path}) > 0 THEN {quotes} ELSE 0 END",
        f"CASE WHEN len({path}) > 0 THEN {doubt} ELSE false END",
        f"TRY_CAST({path} AS {type_name})",
    )


def _build_query() -> str:
    arrays = {
        "attachments": _array_sql("r.attachments", ATTACHMENT_FIELDS, FIELDS["attachments"]),
        "generated_images": _array_sql("r.generated_images", IMAGE_FIELDS, FIELDS["generated_images"]),
        "rag_sources": _array_sql("r.context.rag_sources", SOURCE_FIELDS, FIELDS["rag_sources"]),
    }
    present = [f"r.{name}" for name in (*TEXTS, "content", *OBJECTS)]
    # Identifiers and the like hold no double quote, or the text is not proven: cheaper than counting them.
    quotes = [f"CASE WHEN r.{name} IS NULL THEN 0 ELSE 4 END" for name in TEXTS]
    quotes += ["quotes_of(r.content)", *(f"CASE WHEN r.{name} IS NULL THEN 0 ELSE 2 END" for name in OBJECTS)]
    quotes += [
        "CASE WHEN r.agent_info IS NULL THEN 0 ELSE quotes_of(r.agent_info.mode)"
        " + CASE WHEN r.agent_info.execution_time_ms IS NULL THEN 0 ELSE 2 END"
        " + CASE WHEN r.agent_info.tokens_used IS NULL THEN 0 ELSE 2 END END",
        "CASE WHEN r.context.rag_sources IS NULL THEN 0 ELSE 2 END",
        *(sql[0] for sql in arrays.values()),
    ]
    doubts = [f"coalesce(contains(r.{name}, '\"'), false)" for name in TEXTS]
    doubts += [
        f"CASE WHEN looks_otherwise(r.{name})"
        f" THEN coalesce(json_type(text, '$.{name}') <> 'VARCHAR', true) ELSE false END"
        for name in (*TEXTS, "content")
    ]
    doubts += [
        "CASE WHEN r.agent_info IS NULL THEN false ELSE looks_otherwise(r.agent_info.mode)"
        " OR no_whole(r.agent_info.execution_time_ms) OR no_whole(r.agent_info.tokens_used) END",
        *(sql[1] for sql in arrays.values()),
        r"regexp_matches(text, ',[ \t\r\n]*[}\]]')",
        r"contains(text, '\u0022')",
    ]
    known = [*TEXTS, "content", *OBJECTS, *NULL_ALIASES]
    # A missing pair of quotes may be a null's key; what did not fit its column is no null.
    nulls = [f"(r.{name} IS NOT NULL OR coalesce(json_type(text, '$.{name}') = 'NULL', true))" for name in OBJECTS]
    nulls += [f"coalesce(json_type(text, '$.{name}') = 'NULL', true)" for name in NULL_ALIASES]
    nulls_only = f"""(
        len(json_keys(text)) = len(list_distinct(json_keys(text))) AND list_has_all({known}, json_keys(text))
        AND missing = 2 * (len(json_keys(text)) - present) AND {" AND ".join(nulls)})"""
    columns = {
        **{name: f"r.{name}" for name in (*TEXTS, "content")},
        **{name: sql[2] for name, sql in arrays.items()},
        "agent_mode": "r.agent_info.mode",
        "execution_time_ms": "TRY_CAST(r.agent_info.execution_time_ms AS BIGINT)",
        "tokens_used": "TRY_CAST(r.agent_info.tokens_used AS BIGINT)",
        "extras": "NULL::VARCHAR",
        "doubts": "''",
    }
    chosen = ", ".join(f"{columns[name]} AS {name}" for name in FIELDS)
    # A CASE, not AND: JSON functions fail on text that is no JSON, and only CASE keeps them from seeing it.
    proven = f"""coalesce(CASE WHEN r IS NULL OR present = 0 OR doubtful OR NOT starts_with(text, '{{') THEN false
        WHEN missing <= 0 THEN missing = 0 ELSE {nulls_only} END, false)"""
    return f"""
        SELECT piece, {", ".join(PLACE)}, {chosen}, {proven} AS proven FROM (
            SELECT *, quotes - ({" + ".join(quotes)}) AS missing,
                   {" + ".join(f"({name} IS NOT NULL)::INT" for name in present)} AS present,
                   coalesce({" OR ".join(doubts)}, true) AS doubtful
            FROM (SELECT *, {READ} AS r FROM batch))
    """


# Reads the table `batch` (see pieces.Pieces.to_table) into the columns piece, PLACE, FIELDS and `proven`; what was read
# of a piece that is not proven is not to be used.
QUERY = _build_query()

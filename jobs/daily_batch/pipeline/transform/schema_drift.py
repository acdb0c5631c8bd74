"""Usual drift in the fast path: fields under another name, unlisted ones, nulls, ids in digits; dear only where it is.

A record with more keys than listed fields with a value is read once more, as a map of all its fields. DuckDB makes none
of an object that names a key twice. What of it is not listed goes to `extras`, as the general path writes it, where
DuckDB's compact form is sure to be that: without a backslash, a fraction or an exponent, a zero sent as `-0`, and
without objects inside of objects, of which no map would tell a key that comes twice.
"""

import json

from daily_batch.domain.contract import Flag
from daily_batch.pipeline.transform.formats import OF_MESSAGES

MAP = json.dumps("MAP(VARCHAR, JSON)")
# A map and what is made of it takes some ten times a text's memory: nothing for a text of a million keys.
MOST_KEYS = 100

_TEXT = r'"[^"\\]*"'
_SCALAR = rf"(?:{_TEXT}|-?[1-9][0-9]*|0|true|false|null)"
_LIST = rf"\[(?:{_SCALAR},?)*\]"
_OBJECT = rf"\{{(?:{_TEXT}:(?:{_SCALAR}|{_LIST}),?)*\}}"
EXTRAS = rf"\{{(?:{_TEXT}:(?:{_SCALAR}|{_LIST}|{_OBJECT}),?)*\}}"
# Of an unlisted field's name, once it is read: what JSON writes as it is.
PLAIN_NAMES = r'[^"\\\x00-\x1f]*'
MINUS_ZERO = r"-0\s*[],}]"
# Ids that were sent as numbers, as `numbers` has them: DuckDB keeps the digits of a whole number of any size.
NUMERIC = "(?:[a-z_]+=-?[1-9][0-9]*,?)*"

# Bare quotes are none of a text's: what looks like a key in DuckDB's compact form is one.
CONTENT_KEY = '"content":'
CRAWL_PREFIX, RAG_PREFIX = '{"crawl_sources":', '{"rag_sources":'
# The array in a proven `context`, with the listed names.
_RENAMED = f"""CASE WHEN sources_aliased
    THEN replace(replace(context, '{CRAWL_PREFIX}', '{RAG_PREFIX}'), '{CONTENT_KEY}', '"text":') ELSE context END"""
SOURCES = f"substr({_RENAMED}, {len(RAG_PREFIX) + 1}, length({_RENAMED}) - {len(RAG_PREFIX) + 1})"


def build_layers(ids: tuple[str, ...], texts: tuple[str, ...], nested: tuple[str, ...]) -> tuple[dict[str, str], ...]:
    """Return the columns that tell drift; `ids` are the first of `texts`, the listed fields.

    They are built over `text`, its listed fields `r`, the numbers `keys` and `present`, and `types`: those of `texts`,
    or null where all are surely text. `all_fields` is null without drift, and where a key comes twice. `images` and
    `context` have the aliases' values. `drift_proven` says whether `images`, `context`, `extras`, `doubts`, `numbers`
    and the texts are what the general path makes of it.
    """
    names = ", ".join(f"'{name}'" for name in (*texts, *nested, "images", "crawl_sources"))
    numbers = ", ".join(
        f"CASE WHEN types[{at}] NOT IN ('VARCHAR', 'NULL') THEN '{name}=' || r.{name} END"
        for at, name in enumerate(ids, 1)
    )
    of_messages = ", ".join(f"r.{name}" for name in sorted(OF_MESSAGES))
    return (
        {
            "all_fields": f"json_transform(CASE WHEN keys > present AND keys <= {MOST_KEYS} THEN text END, '{MAP}')",
            "numbers": f"CASE WHEN types IS NULL THEN '' ELSE concat_ws(',', {numbers}) END",
        },
        {
            "images": _else_alias("generated_images", "all_fields['images']"),
            "context": _else_alias("context", f"'{CRAWL_PREFIX}' || all_fields['crawl_sources'] || '}}'"),
            "unlisted": f"list_filter(map_entries(all_fields), lambda field: field.key NOT IN ({names}))",
        },
        {
            "extras": """CASE WHEN len(unlisted) > 0 THEN '{' || array_to_string(list_transform(unlisted,
                lambda field: concat('"', field.key, '":', coalesce(field.value, 'null'))), ',') || '}' END""",
            "sources_aliased": f"""CASE WHEN context IS NULL THEN false
                ELSE starts_with(context, '{CRAWL_PREFIX}') OR contains(context, '{CONTENT_KEY}') END""",
        },
        {
            "doubts": f"""CASE WHEN all_fields IS NULL AND NOT sources_aliased AND numbers = '' THEN ''
                ELSE concat_ws(',', CASE WHEN sources_aliased OR (r.generated_images IS NULL AND images IS NOT NULL)
                        THEN '{Flag.ALIASED_FIELD}' END,
                    CASE WHEN numbers <> '' THEN '{Flag.NUMERIC_ID}' END,
                    CASE WHEN {_some("field.key = 'tenant_id' AND field.value IS DISTINCT FROM own_tenant()")}
                        THEN '{Flag.TENANT_CONFLICT}' END) END""",
            # An object without a field of a message may be a list's wrapper.
            "drift_proven": f"""CASE WHEN types IS NOT NULL AND (numbers NOT SIMILAR TO '{NUMERIC}'
                    OR len(list_filter(types[{len(ids) + 1}:], lambda type: type NOT IN ('VARCHAR', 'NULL'))) > 0)
                THEN false WHEN all_fields IS NULL THEN keys = present
                WHEN coalesce({of_messages}) IS NULL THEN false
                WHEN r.generated_images IS NOT NULL AND all_fields['images'] IS NOT NULL THEN false
                WHEN r.context IS NOT NULL AND all_fields['crawl_sources'] IS NOT NULL THEN false
                WHEN extras IS NULL THEN true
                ELSE regexp_full_match(array_to_string(list_transform(unlisted, lambda field: field.key), ' '),
                        '{PLAIN_NAMES}')
                    AND regexp_full_match(extras, '{EXTRAS}') AND NOT regexp_matches(text, '{MINUS_ZERO}')
                    AND NOT {_some(f"field.value LIKE '{{%' AND json_transform(field.value, '{MAP}') IS NULL")} END""",
        },
    )


def _else_alias(name: str, alias: str) -> str:
    return f"CASE WHEN all_fields IS NULL THEN r.{name} ELSE coalesce(r.{name}, {alias}) END"


def _some(condition: str) -> str:
    """Return the condition that some unlisted field meets another; null without any."""
    return f"len(list_filter(unlisted, lambda field: {condition})) > 0"

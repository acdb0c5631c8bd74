"""Schema drift in the fast path: aliased and unlisted fields, nulls, numeric ids; costly only where it occurs.

A record with more keys than listed fields with a value is read a second time, as a map of all its fields. DuckDB
returns no map for an object with a duplicate key. Its unlisted fields go to `extras` exactly as the general path writes
them, which is certain only if DuckDB's compact form has no backslash, no fraction or exponent, no zero sent as `-0`,
and no objects inside objects (a map would not show a key that occurs twice).
"""

import json

from daily_batch.domain.codes import Flag
from daily_batch.pipeline.transform.formats import MESSAGE_FIELDS

MAP = json.dumps("MAP(VARCHAR, JSON)")
# A map and its derived values take about ten times the memory of the text, too much for a text of a million keys.
MAX_KEYS = 100

_TEXT = r'"[^"\\]*"'
_SCALAR = rf"(?:{_TEXT}|-?[1-9][0-9]*|0|true|false|null)"
_LIST = rf"\[(?:{_SCALAR},?)*\]"
_OBJECT = rf"\{{(?:{_TEXT}:(?:{_SCALAR}|{_LIST}),?)*\}}"
EXTRAS = rf"\{{(?:{_TEXT}:(?:{_SCALAR}|{_LIST}|{_OBJECT}),?)*\}}"
# Unlisted field names, once decoded, that JSON writes unchanged.
PLAIN_NAMES = r'[^"\\\x00-\x1f]*'
MINUS_ZERO = r"-0\s*[],}]"
# Ids that were sent as numbers, as in `numbers`; DuckDB keeps the digits of a whole number of any size.
NUMERIC_IDS = "(?:[a-z_]+=-?[1-9][0-9]*,?)*"

# A JSON string has no unescaped quotes, so what looks like a key in DuckDB's compact form is one.
CONTENT_KEY = '"content":'
CRAWL_PREFIX, RAG_PREFIX = '{"crawl_sources":', '{"rag_sources":'
# The array in a verified `context`, with the aliases replaced by the listed names.
_RENAMED = f"""CASE WHEN sources_aliased
    THEN replace(replace(context, '{CRAWL_PREFIX}', '{RAG_PREFIX}'), '{CONTENT_KEY}', '"text":') ELSE context END"""
SOURCES = f"substr({_RENAMED}, {len(RAG_PREFIX) + 1}, length({_RENAMED}) - {len(RAG_PREFIX) + 1})"


# An object from which DuckDB makes no map names a key twice.
_NO_MAP = f"field.value LIKE '{{%' AND json_transform(field.value, '{MAP}') IS NULL"


def build_layers(ids: tuple[str, ...], texts: tuple[str, ...], nested: tuple[str, ...]) -> tuple[dict[str, str], ...]:
    """Return the columns that detect drift, as layers for `add_columns`.

    They use the columns `text`, its listed fields `r`, the numbers `keys` and `present`, and `types`: the JSON types of
    `texts`, or null if all are certain to be text. `all_fields` is null without drift and where a key is duplicated.
    `images` and `context` hold the values of their aliases, too. `drift_verified` says whether `images`, `context`,
    `extras`, `parse_flags`, `numbers` and the texts equal what the general path returns.

    Args:
        ids: The id fields, which are the first of `texts`.
        texts: The listed text fields.
        nested: The listed fields of other types.
    """
    names = ", ".join(f"'{name}'" for name in (*texts, *nested, "images", "crawl_sources"))
    numbers = ", ".join(
        f"CASE WHEN types[{at}] NOT IN ('VARCHAR', 'NULL') THEN '{name}=' || r.{name} END"
        for at, name in enumerate(ids, 1)
    )
    of_messages = ", ".join(f"r.{name}" for name in sorted(MESSAGE_FIELDS))
    return (
        {
            "all_fields": f"json_transform(CASE WHEN keys > present AND keys <= {MAX_KEYS} THEN text END, '{MAP}')",
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
            "parse_flags": f"""CASE WHEN all_fields IS NULL AND NOT sources_aliased AND numbers = '' THEN ''
                ELSE concat_ws(',', CASE WHEN sources_aliased OR (r.generated_images IS NULL AND images IS NOT NULL)
                        THEN '{Flag.ALIASED_FIELD}' END,
                    CASE WHEN numbers <> '' THEN '{Flag.NUMERIC_ID}' END,
                    CASE WHEN {_any_unlisted("field.key = 'tenant_id' AND field.value IS DISTINCT FROM own_tenant()")}
                        THEN '{Flag.TENANT_CONFLICT}' END) END""",
            # An object without a field of a message may wrap a list of messages.
            "drift_verified": f"""CASE WHEN types IS NOT NULL AND (numbers NOT SIMILAR TO '{NUMERIC_IDS}'
                    OR len(list_filter(types[{len(ids) + 1}:], lambda type: type NOT IN ('VARCHAR', 'NULL'))) > 0)
                THEN false WHEN all_fields IS NULL THEN keys = present
                WHEN coalesce({of_messages}) IS NULL THEN false
                WHEN r.generated_images IS NOT NULL AND all_fields['images'] IS NOT NULL THEN false
                WHEN r.context IS NOT NULL AND all_fields['crawl_sources'] IS NOT NULL THEN false
                WHEN extras IS NULL THEN true
                ELSE regexp_full_match(array_to_string(list_transform(unlisted, lambda field: field.key), ' '),
                        '{PLAIN_NAMES}')
                    AND regexp_full_match(extras, '{EXTRAS}') AND NOT regexp_matches(text, '{MINUS_ZERO}')
                    AND NOT {_any_unlisted(_NO_MAP)} END""",
        },
    )


def _else_alias(name: str, alias: str) -> str:
    return f"CASE WHEN all_fields IS NULL THEN r.{name} ELSE coalesce(r.{name}, {alias}) END"


def _any_unlisted(condition: str) -> str:
    """Return the condition that any unlisted field meets `condition`; null if there are no unlisted fields."""
    return f"len(list_filter(unlisted, lambda field: {condition})) > 0"

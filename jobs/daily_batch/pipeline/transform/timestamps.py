"""Parse timestamps in SQL, from the column `timestamp` (docs/rules.md, "Fields" 2).

Nearly all rows have the specified form, `YYYY-MM-DDTHH:MM:SS.mmmZ`: a length check and a fixed format parse them. Other
forms are first rewritten to plain ISO 8601, form by form, and then parsed. A form that no rule rewrites is rejected,
never guessed.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

# Placeholders for values that are neither string nor number; `refused_form` names them.
OTHER_TYPES = {bool: "\0a boolean", dict: "\0an object", list: "\0a list"}

ISO = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ](?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
    r"(?:[Zz]|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)?"
)
ZONED = r"(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)$"
NUMBER = "-?[0-9]+(?:[.][0-9]+)?(?:[eE][+-]?[0-9]+)?"

# Text width -> format: the width proves that every field is full and nothing surrounds the timestamp (0.06 us a row,
# measured).
USUAL = {24: "%Y-%m-%dT%H:%M:%S.%gZ", 27: "%Y-%m-%dT%H:%M:%S.%fZ", 20: "%Y-%m-%dT%H:%M:%SZ"}

MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
WEEKDAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
MINUTE = "[0-9]{2}:[0-9]{2}"
# A longer text is no timestamp in another form, and is not searched for one.
MAX_FORM_BYTES = 100
# Pattern -> replacement: month names move between year and day, as in `2025-Aug-12T03:00:00 GMT`.
NAMED = {
    rf"(?:{WEEKDAY},? )?([0-9]{{1,2}})[ /-]({MONTHS})[ /-]([0-9]{{4}})[ :]({MINUTE}.*)": r"\3-\2-\1T\4",
    rf"(?:{WEEKDAY},? )?({MONTHS}) {{1,2}}([0-9]{{1,2}}),? ([0-9]{{4}}) ({MINUTE}.*)": r"\3-\1-\2T\4",
    rf"{WEEKDAY} ({MONTHS}) {{1,2}}([0-9]{{1,2}}) ({MINUTE}[0-9:.,]*(?: [^ ]+)?) ([0-9]{{4}})": r"\4-\1-\2T\3",
    rf"([0-9]{{4}}-(?:{MONTHS})-)([0-9][Tt ].*)": r"\10\2",
}
NUMBERED_MONTH = f"""CASE WHEN regexp_matches(dated, '^[0-9]{{4}}-(?:{MONTHS})-') THEN left(dated, 5)
    || lpad(((position(substr(dated, 6, 3) IN '{MONTHS.replace("|", "")}') + 2) // 3)::VARCHAR, 2, '0')
    || substr(dated, 9) ELSE dated END"""

DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]"
SECOND = rf"{DAY}{MINUTE}:[0-9]{{2}}"
EXACT = rf"{SECOND}(?:\.[0-9]+)?"
OFFSET = "[+-][0-9]{2}(?::?[0-9]{2})?"
REGION = r"(?:\[[!A-Za-z0-9_+/=.~-]+\])"
CLOCK_READING = r"(?: m=[+-][0-9]+\.[0-9]+)"  # of a monotonic clock, as Go prints it
COMMENT = r"(?: \([^()]*\))"
# Not beginning like UTC or GMT, which an offset may contradict.
ABBREVIATION = "(?:[A-FH-TV-Z][A-Z]|G[A-LN-Z]|U[A-SU-Z])[A-Z]{1,3}"
# Pattern -> replacement, applied in order; the result is ISO 8601, or it is not a timestamp.
PLAIN = {
    # .NET's milliseconds, as seconds.
    r"/Date\((-?[0-9]{1,14})(?:[+-][0-9]{4})?\)/": r"\1e-3",
    "([0-9]{4})(?:/([0-9]{2})/|([0-9]{2}))([0-9]{2}[Tt ].*)": r"\1-\2\3-\4",
    f"({DAY}[0-9]{{2}})([0-9]{{2}})([0-9]{{2}}(?:[^0-9].*)?)": r"\1:\2:\3",
    f"({DAY}[0-9]{{2}}):?([0-9]{{2}})((?: ?[A-Za-z[+-].*)?)": r"\1:\2:00\3",
    f"({SECOND}),([0-9].*)": r"\1.\2",
    f"({EXACT}) ?(?:[Zz]|UTC|GMT){REGION}*": r"\1Z",
    f"({EXACT}) ?(?:([+-]00(?::?00)?) (?:UTC|GMT){CLOCK_READING}?|GMT([+-][0-9]{{4}}){COMMENT}?"
    f"|({OFFSET})(?:{REGION}+|{COMMENT}| {ABBREVIATION}{CLOCK_READING}?)?)": r"\1\2\3\4",
}

# Most digits before the point -> unit: seconds, milliseconds, microseconds, nanoseconds since 1970. Each bound is the
# year 5138 and each unit begins in 1973, so every integer means exactly one instant.
SHIFTS = {11: 6, 14: 3, 17: 0, 20: -3}
DIGITS = " ".join(
    f"WHEN before_point(s) <= {most} THEN cut_digits(significant(s), before_point(s) + {shift})"
    for most, shift in SHIFTS.items()
)
WHOLE = " ".join(
    f"WHEN n < {10**most}::HUGEINT THEN n {f'* {10**shift}' if shift >= 0 else f'// {10**-shift}'}"
    for most, shift in SHIFTS.items()
)

MACROS = f"""
CREATE OR REPLACE TEMP MACRO zoned_us(s) AS
    CASE WHEN s < '0001' THEN NULL ELSE epoch_us(TRY_CAST(s AS TIMESTAMPTZ)) END;
CREATE OR REPLACE TEMP MACRO wall_us(s) AS
    CASE WHEN s < '0001' THEN NULL ELSE epoch_us(TRY_CAST(s AS TIMESTAMP)) END;
CREATE OR REPLACE TEMP MACRO significant(s) AS ltrim(regexp_replace(s, '^-|[.]|[eE].*', '', 'g'), '0');
CREATE OR REPLACE TEMP MACRO exponent(s) AS CASE WHEN contains(lower(s), 'e') THEN coalesce(
    TRY_CAST(regexp_extract(s, '[eE](.+)', 1) AS INTEGER), CASE WHEN regexp_matches(s, '[eE]-') THEN -1 ELSE 1 END
    * {2**31})::BIGINT ELSE 0 END;
CREATE OR REPLACE TEMP MACRO before_point(s) AS
    length(significant(s)) - length(regexp_extract(s, '[.]([0-9]+)', 1)) + exponent(s);
CREATE OR REPLACE TEMP MACRO cut_digits(s, count) AS
    coalesce(TRY_CAST(left(rpad(s, 17, '0'), greatest(count, 0)) AS BIGINT), 0);
CREATE OR REPLACE TEMP MACRO whole_us(n) AS CASE {WHOLE} END;
CREATE OR REPLACE TEMP MACRO number_us(s) AS CASE WHEN regexp_full_match(s, '[0-9]{{1,18}}') THEN whole_us(s::BIGINT)
    ELSE CASE WHEN starts_with(s, '-') THEN -1 ELSE 1 END * CASE WHEN significant(s) = '' THEN 0 {DIGITS} END END;
CREATE OR REPLACE TEMP MACRO refused_form(s, plain, kind) AS CASE
    WHEN s = '' THEN 'an empty text'
    {" ".join(f"WHEN s = chr(0) || '{mark[1:]}' THEN '{mark[1:]}'" for mark in OTHER_TYPES.values())}
    WHEN kind = 'number' THEN 'a number out of range'
    WHEN regexp_full_match(plain, '{EXACT}(?:[Zz]|{OFFSET})?') THEN CASE
        WHEN plain < '0001' OR TRY_CAST(left(plain, 10) AS DATE) IS NULL THEN 'no such day in the calendar'
        WHEN NOT regexp_matches(plain, '^.{{11}}(?:[01]|2[0-3])') OR NOT regexp_matches(plain, '^.{{14}}[0-5]')
            OR NOT regexp_matches(plain, '^.{{17}}(?:[0-5]|60)') THEN 'no such time of day'
        ELSE 'an offset out of range' END
    WHEN regexp_full_match(s, '[0-9]{{4}}([-/.]?)[0-9]{{2}}([-/.]?)[0-9]{{2}}') THEN 'a date without a time'
    WHEN regexp_full_match(s, '[Tt]?{MINUTE}(?::[0-9]{{2}}(?:[.,][0-9]+)?)?(?: ?(?:[Zz]|UTC|GMT|{OFFSET}))?')
        THEN 'a time without a date'
    WHEN regexp_matches(s, '^[0-9]{{1,2}}[-/.][0-9]{{1,2}}[-/.](?:[0-9]{{2}}|[0-9]{{4}})(?:[^0-9]|$)')
        THEN 'day and month in an ambiguous order (nn/nn/nnnn)'
    WHEN regexp_full_match(plain, '{EXACT} ?(?:\\[.*\\]|[A-Za-z]{{2,5}})') AND NOT regexp_matches(plain, '(?i)[ap]m$')
        THEN 'a name of a zone without an offset'
    ELSE 'a text of another form (' || length(s) || ' characters)' END;
"""

OTHER_FORM = "kind = 'number' OR plain <> timestamp"
# Details of a timestamp that cannot be parsed, without its content.
ABSENT = "'the timestamp is absent, and no file name gives one'"
DETAIL = f"""CASE WHEN timestamp IS NULL THEN {ABSENT}
    ELSE 'the timestamp cannot be read: ' || refused_form(timestamp, plain, kind) END"""


def plain_columns(naive: Sequence[tuple[int, int]]) -> tuple[dict[str, str], ...]:
    """Return the layers of `instant_columns` for plain ISO 8601 texts alone; `at_us` is null for any other text."""
    return (
        {"usual_us": _usual()},
        {"iso": f"CASE WHEN usual_us IS NULL THEN regexp_full_match(timestamp, '{ISO}') END"},
        {
            "kind": f"""CASE WHEN usual_us IS NOT NULL THEN 'zoned' WHEN timestamp IS NULL THEN 'path'
                WHEN iso THEN CASE WHEN regexp_matches(substr(timestamp, 20), '{ZONED}') THEN 'zoned' ELSE 'naive' END
                END""",
            "leap": "CASE WHEN iso THEN coalesce(substr(timestamp, 17, 3) = ':60', false) ELSE false END",
        },
        {"clock": f"CASE WHEN iso THEN {_clock('timestamp')} END"},
        {
            "at_us": f"""CASE WHEN usual_us IS NOT NULL THEN usual_us WHEN kind = 'zoned' THEN zoned_us(clock)
                WHEN kind = 'naive' THEN {_utc_from_wall(naive)} WHEN kind = 'path' THEN path_us END"""
        },
    )


def instant_columns(naive: Sequence[tuple[int, int]]) -> tuple[dict[str, str], ...]:
    """Return layers of columns over `timestamp` and `path_us`: the instant `at_us` (null if unreadable), and its form.

    `kind` is path, zoned, naive, number or null; `leap` is true if second 60 was read as 59; `plain` is the text as
    plain ISO 8601, null if it has the specified form.

    Args:
        naive: `calendar.offset_spans` of the time zone of naive timestamps.
    """
    return (
        {"usual_us": _usual()},
        {"iso": f"CASE WHEN usual_us IS NULL THEN regexp_full_match(timestamp, '{ISO}') END"},
        {
            "dated": f"""CASE WHEN NOT iso THEN CASE WHEN strlen(timestamp) > {MAX_FORM_BYTES} THEN NULL
                WHEN regexp_matches(timestamp, '{MONTHS}') THEN {_rewrite("timestamp", NAMED)} ELSE timestamp END END"""
        },
        {
            "plain": f"""CASE WHEN usual_us IS NULL THEN CASE WHEN dated IS NULL THEN timestamp
                WHEN regexp_full_match(timestamp, '{NUMBER}') THEN timestamp
                ELSE {_rewrite(NUMBERED_MONTH, PLAIN)} END END"""
        },
        {
            "kind": f"""CASE WHEN usual_us IS NOT NULL THEN 'zoned' WHEN timestamp IS NULL THEN 'path'
                WHEN CASE WHEN iso THEN true ELSE regexp_full_match(plain, '{ISO}') END
                    THEN CASE WHEN regexp_matches(substr(plain, 20), '{ZONED}') THEN 'zoned' ELSE 'naive' END
                WHEN regexp_full_match(plain, '{NUMBER}') THEN 'number' END""",
            "leap": "CASE WHEN usual_us IS NULL THEN coalesce(substr(plain, 17, 3) = ':60', false) ELSE false END",
        },
        {"clock": f"CASE WHEN usual_us IS NULL THEN {_clock('plain')} END"},
        {
            "at_us": f"""CASE WHEN usual_us IS NOT NULL THEN usual_us
                WHEN kind = 'zoned' THEN zoned_us(clock) WHEN kind = 'naive' THEN {_utc_from_wall(naive)}
                WHEN kind = 'number' THEN number_us(plain) WHEN kind = 'path' THEN path_us END"""
        },
    )


def _usual() -> str:
    formats = " ".join(f"WHEN {width} THEN try_strptime(timestamp, '{form}')" for width, form in USUAL.items())
    return f"""CASE WHEN timestamp >= '0001' AND suffix(timestamp, 'Z')
        THEN epoch_us(CASE strlen(timestamp) {formats} END) END"""


def _clock(text: str) -> str:
    return f"CASE WHEN leap THEN replace(upper({text}), ':60', ':59') ELSE upper({text}) END"


def _rewrite(text: str, rules: Mapping[str, str]) -> str:
    for pattern, replacement in rules.items():
        text = f"regexp_replace({text}, '^(?:{pattern})$', '{replacement}')"
    return text


def _utc_from_wall(spans: Sequence[tuple[int, int]]) -> str:
    """Return the SQL expression from wall clock to UTC, with the semantics of zoneinfo's fold=0.

    A repeated hour is the first one, and a skipped hour takes the old offset.
    """
    cases = " ".join(
        f"WHEN wall_us(clock) < {begin + max(before, after) * 1_000_000} THEN wall_us(clock) - {before * 1_000_000}"
        for (_, before), (begin, after) in pairwise(spans)
    )
    last = f"wall_us(clock) - {spans[-1][1] * 1_000_000}"
    return f"CASE {cases} ELSE {last} END" if cases else last

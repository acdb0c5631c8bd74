"""Any text is parsed as a timestamp, or rejected, as the oracle does (oracle/timestamps.py)."""

from datetime import UTC, datetime, timedelta

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daily_batch.pipeline.transform import timestamps
from daily_batch.pipeline.transform.duckdb_session import add_columns, connect
from tests.oracle.timestamps import read_timestamp
from tests.support.run_specs import sample_spec

PATIENT = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FLAGS = {"naive_timestamp": "kind = 'naive'", "timestamp_format": timestamps.OTHER_FORM, "leap_second": "leap"}
MAX_TEXTS = 100

FORMS = [
    *("2025-08-12T03:00:00.123Z", "2025-08-12T03:00:00Z", "2025-08-12T03:00:00.123456Z", "2025-08-12T03:00:00.1Z"),
    *("2025-08-12 03:00:00.123456789", "2025-08-12t03:00:00z", "2025-08-12T12:00:00+09", "2025-08-12T12:00:00+0900"),
    *("2025-08-12T03:00Z", "2025-08-12 03:00", "2025-08-12 03:00:00.123 +0000", "2025-08-12 03:00:00 UTC"),
    *("2025-08-12 03:00:00 GMT", "2025-08-12 03:00:00 Z", "2025-08-12 12:00:00 +09:00", "2025-08-12T03:00:00,123Z"),
    *("2025-08-12T12:00:00+09:00[Asia/Tokyo]", "2025-08-12T03:00:00Z[UTC]", "2025-08-12T03:00:00[Asia/Tokyo]"),
    *("2025-08-12T12:00:00+09:00[Asia/Tokyo][u-ca=gregory]", "2025-08-12 03:00:00 +0000 UTC"),
    *("2025-08-12 12:00:00.5 +0900 JST m=+0.001", "2025-08-12 03:00:00 +0900 UTC", "2025-08-12 03:00:00 JST"),
    *("20250812T030000Z", "20250812T030000.123Z", "20250812T0300+0900", "20250812 030000", "2025/08/12 03:00:00"),
    *("Tue, 12 Aug 2025 03:00:00 GMT", "Tue, 5 Aug 2025 12:00:00 +0900", "12 Aug 2025 03:00:00 +0000 (UTC)"),
    *("Tue Aug 12 2025 12:00:00 GMT+0900 (Japan Standard Time)", "Tue Aug 12 03:00:00 2025", "12-Aug-2025 03:00:00"),
    *("Tue Aug  5 03:00:00 UTC 2025", "Tue Aug 12 03:00:00 +0000 2025", "12/Aug/2025:03:00:00 +0000"),
    *("/Date(1754966165123)/", "/Date(1754966165123+0900)/", "/Date(-1)/"),
    *("1754966165", "1754966165123", "1754966165123456", "1754966165123456789", "1754966165.1234567", "-1.5"),
    *("1.754966165123E12", "17549661651234567e-4", "1e9", "0.000001e15", "0e99", "1e-99", "99999999999999999999"),
    *("100000000000", "99999999999.9999999", "99999999999999.9999", "1e20", "-99999999999999999999", "1E+0012"),
    *("1e99999999999999999999", "1e-99999999999999999999", "0001754966165", "-0", "00"),
    *("2025-08-12T03:00:60Z", "2025-02-29T00:00:00Z", "2025-08-12T24:00:00Z", "0000-08-12T03:00:00Z"),
    *("0001-01-01T00:00:00+09:00", "9999-12-31T23:59:59-09:00", "2025-08-12T03:00:00+25:00", "2024-02-29T23:59:60Z"),
    *("2025-08-12", "03:00:00Z", "12/08/2025 03:00:00", "08/12/2025", "yesterday", "", " ", "2025-08-12T03Z"),
    *("100e-EZT", "2025-Aug-12 03:00Z", "2025-Aug-5T0300", "2025-EZT-12T03:00Z"),
]
MARKS = [
    *"0123456789",
    *(
        "-",
        "+",
        ":",
        ".",
        ",",
        "/",
        " ",
        "  ",
        "T",
        "t",
        "Z",
        "z",
        "e",
        "E",
        "UTC",
        "GMT",
        "JST",
        "AM",
        "[",
        "]",
        "(",
        ")",
    ),
    *(
        "\n",
        "\t",
        "\0",
        "２",
        "é",
        "\u2212",
        "[Asia/Tokyo]",
        "+09:00",
        "-00",
        "60",
        "24",
        "00",
        "Aug",
        "Tue, ",
        "0" * 90,
    ),
]


@st.composite
def mutated_forms(draw: st.DrawFn) -> str:
    """Return a written form with up to four parts inserted, removed or replaced."""
    text = draw(st.sampled_from(FORMS))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from([*MARKS, ""])) + text[at + draw(st.integers(0, 2)) :]
    return text


@st.composite
def composed_forms(draw: st.DrawFn) -> str:
    """Return a date, a time and a zone in any form."""
    one_of = st.sampled_from
    date = draw(one_of(["2025-08-12T", "2025-08-12 ", "20250812T", "2025/08/12t", "12 Aug 2025 ", "Tue Aug 2 2025 "]))
    time = draw(one_of(["03:00", "03:00:00", "03:00:60", "0300", "030059", "23:59:59", "24:00", "03:60:00", "3:00"]))
    fraction = draw(one_of(["", "", ".5", ",5", ".1234567", ",123456789", "."]))
    blank = draw(one_of(["", " ", "  "]))
    zone = draw(one_of(["", "Z", "z", "UTC", "GMT", "+09", "-0330", "+09:00", "+00:00", "-00", "GMT+0900", "GMT+9"]))
    note = draw(one_of(["", "", "[Asia/Tokyo]", "[UTC][u-ca=iso8601]", " (JST)", " JST", " UTC", " GMT m=+1.5", "[]"]))
    return date + time + fraction + blank + zone + note


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    connection = connect(scratch=tmp_path_factory.mktemp("scratch"), spec=sample_spec())
    connection.execute(timestamps.MACROS)
    return connection


def read_all(database: duckdb.DuckDBPyConnection, texts: list[str]) -> list[tuple[int | None, set[str], str]]:
    sent = "(SELECT unnest($texts) AS timestamp, NULL::BIGINT AS path_us)"
    source = add_columns(sent, *timestamps.instant_columns([(0, 0)]))
    flags = ", ".join(f"CASE WHEN {condition} THEN '{flag}' END" for flag, condition in FLAGS.items())
    rows = database.execute(f"SELECT at_us, [{flags}], {timestamps.DETAIL} FROM {source}", {"texts": texts}).fetchall()
    return [(at_us, {flag for flag in found if flag}, detail) for at_us, found, detail in rows]


def expected_timestamp(text: str) -> tuple[int | None, set[str]]:
    flags: set[str] = set()
    moment = read_timestamp(text, "UTC", flags)
    return None if moment is None else (moment - EPOCH) // timedelta(microseconds=1), flags


def assert_matches_oracle(database: duckdb.DuckDBPyConnection, texts: list[str]) -> None:
    last = expected_timestamp("9999-12-31T23:59:59.999999Z")[0]
    first = expected_timestamp("0001-01-01T00:00:00Z")[0]
    assert first is not None
    assert last is not None
    for text, (at_us, flags, detail) in zip(texts, read_all(database, texts), strict=True):
        expected, expected_flags = expected_timestamp(text)
        if at_us is not None and not first <= at_us <= last:
            at_us = last  # no run publishes that day
        assert at_us == expected, text
        if at_us is None:
            assert detail.startswith("the timestamp cannot be read: ")
        else:
            assert flags == expected_flags, text


def test_known_timestamp_forms_match_the_oracle(database: duckdb.DuckDBPyConnection) -> None:
    assert_matches_oracle(database, FORMS)


@PATIENT
@given(st.lists(st.one_of(mutated_forms(), composed_forms()), min_size=1, max_size=MAX_TEXTS))
def test_any_timestamp_text_matches_the_oracle(database: duckdb.DuckDBPyConnection, texts: list[str]) -> None:
    assert_matches_oracle(database, texts)


@PATIENT
@given(st.integers(0, 2**63), st.integers(-25, 25), st.sampled_from(["", "-", "0"]))
def test_any_timestamp_number_matches_the_oracle(
    database: duckdb.DuckDBPyConnection, digits: int, power: int, sign: str
) -> None:
    integer = f"{sign}{digits}"
    assert_matches_oracle(
        database, [integer, f"{integer}e{power}", f"{integer}.{digits}", f"{integer}.{digits}E+{power}"]
    )


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("", "an empty text"),
        (timestamps.OTHER_TYPES[bool], "a boolean"),
        (timestamps.OTHER_TYPES[dict], "an object"),
        (timestamps.OTHER_TYPES[list], "a list"),
        ("1e20", "a number out of range"),
        ("2025-02-30T00:00:00Z", "no such day in the calendar"),
        ("30 Feb 2025 00:00:00 GMT", "no such day in the calendar"),
        ("0000-01-01T00:00Z", "no such day in the calendar"),
        ("2025-08-12T24:00:00Z", "no such time of day"),
        ("2025-08-12T03:00:61", "no such time of day"),
        ("2025-08-12T03:00:00+24:00", "an offset out of range"),
        ("2025-08-12", "a date without a time"),
        ("20250812T", "a text of another form (9 characters)"),
        ("03:00", "a time without a date"),
        ("03:00:00.5 +09:00", "a time without a date"),
        ("12/08/2025", "day and month in an ambiguous order (nn/nn/nnnn)"),
        ("12-08-2025T01:02:03Z", "day and month in an ambiguous order (nn/nn/nnnn)"),
        ("8/12/25 3:00:00 PM", "day and month in an ambiguous order (nn/nn/nnnn)"),
        ("2025-08-12T03:00:00[Asia/Tokyo]", "a name of a zone without an offset"),
        ("2025-08-12 03:00 JST", "a name of a zone without an offset"),
        ("昨日", "a text of another form (2 characters)"),
        ("\0a secret", "a text of another form (9 characters)"),
    ],
)
def test_detail_of_a_rejected_timestamp_names_its_form(
    database: duckdb.DuckDBPyConnection, text: str, form: str
) -> None:
    ((at_us, _, detail),) = read_all(database, [text])
    assert (at_us, detail) == (None, f"the timestamp cannot be read: {form}")


def test_timestamp_of_megabytes_is_rejected_at_once(database: duckdb.DuckDBPyConnection) -> None:
    texts = ["2025-08-12T03:00:00 " * 50_000, "Aug " * 250_000, "[" * 1_000_000, "9" * 1_000_000]
    assert [at_us for at_us, _, _ in read_all(database, texts)] == [None] * 4

"""Test that every block of docs/reading.md and questions.md runs, and that all engines return the expected answers."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from daily_batch.domain.contract import TABLES
from tests.support.reading.engines import Reader, Rows
from tests.support.reading.expected_answers import ANSWERS, late_messages
from tests.support.reading.page import ENGINES, PAGE, blocks_below, questions, read_blocks
from tests.support.reading.week import Week, publish_week

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PARQUET_ENGINES = tuple(engine for engine in ENGINES if engine != "delta-rs")
READERS = [("delta", engine) for engine in ENGINES] + [("parquet", engine) for engine in PARQUET_ENGINES]
OLDER_VERSION = "An older version"


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Week:
    return publish_week(tmp_path_factory.mktemp("week"))


@pytest.fixture(scope="module")
def open_reader(week: Week, request: pytest.FixtureRequest) -> Iterator[Callable[..., Reader]]:
    """Open each engine's tables once; views belong to a Spark session, so each Spark reader has its own."""

    @cache
    def open_once(engine: str, table_format: str = "delta") -> Reader:
        names = {"spark": _new_session(request.getfixturevalue("spark"))} if engine == "Spark" else {}
        return Reader(engine, table_format, week.tables[table_format], **names)

    yield open_once
    open_once.cache_clear()


def test_page_answers_every_question_in_every_engine() -> None:
    actual = {heading: set(blocks_below(heading)) for heading in questions()}
    assert [heading.partition(".")[0] for heading in actual] == list(ANSWERS)
    assert set(map(frozenset, actual.values())) == {frozenset(ENGINES)}
    assert len(read_blocks()) == 20 * len(ENGINES) + 4 + 3 + 4


@pytest.mark.parametrize(("table_format", "engine"), READERS)
def test_engine_returns_the_expected_answers(
    table_format: str, engine: str, week: Week, open_reader: Callable[..., Reader]
) -> None:
    reader = open_reader(engine, table_format)
    wrong = {}
    for heading in questions():
        expected = ANSWERS[heading.partition(".")[0]](week)
        assert expected, heading
        actual = reader.answer(blocks_below(heading)[reader.engine])
        if not is_equal(actual, expected):
            wrong[heading] = actual[:3], expected[:3]
    assert wrong == {}


@pytest.mark.parametrize("engine", ["DuckDB", "polars", "Spark", "delta-rs"])
def test_older_version_shows_the_late_messages(engine: str, week: Week, open_reader: Callable[..., Reader]) -> None:
    expected = late_messages(week)
    assert len(expected) > 10
    assert open_reader(engine).answer(blocks_below(OLDER_VERSION)[engine]) == expected


@pytest.mark.parametrize("engine", ["Athena", "DuckDB", "polars", "Spark"])
def test_local_time_matches_the_hour_column(engine: str, week: Week, open_reader: Callable[..., Reader]) -> None:
    (line,) = re.findall(r"^- As local time: .+?\n(?=\n|- )", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    (local,) = re.findall(rf"{engine}\s+`([^`]+)`", line)
    block = blocks_below(questions()[0])[engine]
    if engine == "polars":
        code = f"messages.select('hour', local=pl.col('timestamp'){local}.dt.hour()).collect()"
    else:
        code = f"SELECT hour, extract(HOUR FROM {local}) AS local FROM messages"
    actual = open_reader(engine).answer(block._replace(code=code))
    assert len(actual) == sum(len(expected.rows) for expected in week.days.values())
    assert all(row["local"] == row["hour"] for row in actual)


def test_page_opens_every_table() -> None:
    names = [table.name for table in TABLES]
    opened = [block.code for block in read_blocks() if block.heading in ("Delta", "Parquet")]
    assert opened
    assert all(f'"{name}"' in code for code in opened for name in names)


def _new_session(spark: "SparkSession") -> "SparkSession":
    """Return a session without code generation, which takes longer than running a query of a few rows."""
    session = spark.newSession()
    session.conf.set("spark.sql.codegen.wholeStage", "false")
    session.conf.set("spark.sql.codegen.factoryMode", "NO_CODEGEN")
    session.conf.set("spark.sql.adaptive.enabled", "false")
    return session


def is_equal(actual: Rows, expected: Rows) -> bool:
    """Return whether the rows are equal and in order; columns may be in any order, floats may differ by a millionth."""
    return len(actual) == len(expected) and all(map(_is_equal_row, actual, expected))


def _is_equal_row(actual: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    return actual.keys() == expected.keys() and all(
        actual[name] == (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value)
        for name, value in expected.items()
    )

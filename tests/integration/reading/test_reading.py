"""Every block of docs/reading.md runs, and every engine gives the answers computed from the JSON."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from daily_batch.domain.contract import TABLES
from tests.support.reading.engines import Reader, Rows
from tests.support.reading.expected_answers import ANSWERS, came_late
from tests.support.reading.page import ENGINES, PAGE, blocks_below, questions, read_blocks
from tests.support.reading.week import Week, publish_week

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

IN_PARQUET = tuple(engine for engine in ENGINES if engine != "delta-rs")
READERS = [("delta", engine) for engine in ENGINES] + [("parquet", engine) for engine in IN_PARQUET]
OLDER = "An older version"


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Week:
    return publish_week(tmp_path_factory.mktemp("week"))


@pytest.fixture(scope="module")
def open_reader(week: Week, request: pytest.FixtureRequest) -> Iterator[Callable[..., Reader]]:
    """Open each engine's tables once; Spark's views belong to a session, so each reader has its own."""

    @cache
    def open_once(engine: str, table_format: str = "delta") -> Reader:
        given = {"spark": _new_session(request.getfixturevalue("spark"))} if engine == "Spark" else {}
        return Reader(engine, table_format, week.tables[table_format], **given)

    yield open_once
    open_once.cache_clear()


def test_page_answers_every_question_in_every_engine() -> None:
    found = {heading: set(blocks_below(heading)) for heading in questions()}
    assert [heading.partition(".")[0] for heading in found] == list(ANSWERS)
    assert set(map(frozenset, found.values())) == {frozenset(ENGINES)}
    assert len(read_blocks()) == 10 * len(ENGINES) + 4 + 3 + 4


@pytest.mark.parametrize(("table_format", "engine"), READERS)
def test_engine_returns_the_expected_answers(
    table_format: str, engine: str, week: Week, open_reader: Callable[..., Reader]
) -> None:
    """One test per reader; a failure shows the questions with wrong answers."""
    reader = open_reader(engine, table_format)
    wrong = {}
    for heading in questions():
        expected = ANSWERS[heading.partition(".")[0]](week)
        assert expected, heading
        found = reader.answer(blocks_below(heading)[reader.engine])
        if not is_equal(found, expected):
            wrong[heading] = found[:3], expected[:3]
    assert wrong == {}


@pytest.mark.parametrize("engine", ["DuckDB", "polars", "Spark", "delta-rs"])
def test_older_version_shows_the_late_messages(
    engine: str, week: Week, open_reader: Callable[..., Reader]
) -> None:
    expected = came_late(week)
    assert len(expected) > 10
    assert open_reader(engine).answer(blocks_below(OLDER)[engine]) == expected


@pytest.mark.parametrize("engine", ["Athena", "DuckDB", "polars", "Spark"])
def test_local_time_matches_the_hour_column(
    engine: str, week: Week, open_reader: Callable[..., Reader]
) -> None:
    (line,) = re.findall(r"^- As local time: .+?\n(?=\n|- )", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    (local,) = re.findall(rf"{engine}\s+`([^`]+)`", line)
    block = blocks_below(questions()[0])[engine]
    if engine == "polars":
        code = f"messages.select('hour', local=pl.col('timestamp'){local}.dt.hour()).collect()"
    else:
        code = f"SELECT hour, extract(HOUR FROM {local}) AS local FROM messages"
    found = open_reader(engine).answer(block._replace(code=code))
    assert len(found) == sum(len(expected.rows) for expected in week.days.values())
    assert all(row["local"] == row["hour"] for row in found)


def test_page_opens_every_table() -> None:
    names = [table.name for table in TABLES]
    opened = [block.code for block in read_blocks() if block.heading in ("Delta", "Parquet")]
    assert opened
    assert all(f'"{name}"' in code for code in opened for name in names)


def _new_session(spark: "SparkSession") -> "SparkSession":
    """Return a session without code generation: for a few rows, compiling takes longer than running."""
    session = spark.newSession()
    session.conf.set("spark.sql.codegen.wholeStage", "false")
    session.conf.set("spark.sql.codegen.factoryMode", "NO_CODEGEN")
    session.conf.set("spark.sql.adaptive.enabled", "false")
    return session


def is_equal(found: Rows, expected: Rows) -> bool:
    """Return whether rows and order agree, columns in any order, floats to a millionth."""
    return len(found) == len(expected) and all(map(_is_equal_row, found, expected))


def _is_equal_row(found: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    return found.keys() == expected.keys() and all(
        found[name] == (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value)
        for name, value in expected.items()
    )

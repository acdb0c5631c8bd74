"""docs/howto/dashboard.md: its view and its five queries, in two dialects, give what the published rows say."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import duckdb
import pytest
import sqlglot
from deltalake import DeltaTable

from daily_batch.domain.contract import TABLES
from tests.support.day_runs import DAY, ROOT, SAMPLES, Tables, read_tables, run_local
from tests.support.reading.engines import Reader, Rows, as_rows
from tests.support.reading.page import Block

PAGE = (ROOT / "docs/howto/dashboard.md").read_text(encoding="utf-8")
VIEW, *QUERIES = re.findall(r"^```sql\n(.+?)^```$", PAGE, re.MULTILINE | re.DOTALL)
TENANTS = ("acme", "globex")


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("out")
    for tenant in TENANTS:
        run_local(input=SAMPLES, output=output, tenant=tenant)
    return output


def group(rows: Rows, *names: str) -> Mapping[tuple[Any, ...], Rows]:
    found = defaultdict(list)
    for row in rows:
        found[tuple(row[name] for name in names)].append(row)
    return found


def total(rows: Rows, name: str) -> int | None:
    return sum(row[name] for row in rows if row[name] is not None) if any(row[name] for row in rows) else None


def hours(tables: Tables) -> Rows:
    return [
        {"date": DAY, "hour": hour, "messages": len(rows), "users": len({row["user_id"] for row in rows} - {None})}
        for (hour,), rows in sorted(group(tables["messages"], "hour").items())
    ]


def modes(tables: Tables) -> Rows:
    answers = [row for row in tables["messages"] if row["role"] == "assistant"]
    found: Rows = []
    for (mode,), rows in group(answers, "agent_mode").items():
        times = [row["execution_time_ms"] for row in rows if row["execution_time_ms"] is not None]
        average = fmean(times) if times else None
        sums = {"milliseconds": average, "tokens": total(rows, "tokens_used")}
        found.append({"date": DAY, "agent_mode": mode, "answers": len(rows), **sums})
    return sorted(found, key=lambda row: (-row["answers"], row["agent_mode"] or "~"))


def users(tables: Tables) -> Rows:
    rows = [
        {"user_id": row["user_id"], "active_days": 1, "messages": row["messages"], "tokens": row["tokens_used"]}
        for row in tables["users_daily"]
    ]
    return sorted(rows, key=lambda row: (-row["tokens"], row["user_id"]))[:20]


def reasons(tables: Tables) -> Rows:
    counted = [row for row in tables["rejects"] if row["reason"] not in ("superseded", "replaced_surrogate")]
    rows = [
        {"date": DAY, "reason": reason, "records": len(rows)} for (reason,), rows in group(counted, "reason").items()
    ]
    return sorted(rows, key=lambda row: (-row["records"], row["reason"]))


EXPECTED: tuple[Callable[[Tables], Rows], ...] = (hours, modes, users, reasons)


@pytest.mark.parametrize("engine", ["DuckDB", "Athena"])
def test_the_queries_of_a_tenant_give_what_its_rows_say(engine: str, output: Path) -> None:
    """Athena's SQL is translated to DuckDB's."""
    reader = Reader(engine, "delta", output)
    tables = read_tables(output)
    found = [reader.answer(Block("", engine, "sql", query)) for query in QUERIES[1:]]
    expected = [expect(tables) for expect in EXPECTED]
    assert all(expected)
    assert [[pytest.approx(row) for row in rows] for rows in expected] == found


def test_the_view_shows_all_tenants(output: Path) -> None:
    db = duckdb.connect()
    for tenant in TENANTS:
        files = DeltaTable(f"{output}/{tenant}/analytics/summary_daily").file_uris()
        db.execute(f"CREATE SCHEMA chat_{tenant}")
        db.execute(f"CREATE VIEW chat_{tenant}.summary_daily AS FROM read_parquet({files}, hive_partitioning = true)")
    db.execute(VIEW)
    rows = as_rows(db.sql(QUERIES[0]))
    names = ("date", "messages", "unique_users", "unique_rooms", "tokens_used")
    assert rows == [
        {"tenant": tenant, **{name: row[name] for name in names}}
        for tenant in TENANTS
        for row in read_tables(output, tenant=tenant)["summary_daily"]
    ]


@pytest.mark.parametrize("dialect", ["athena", "databricks", "duckdb"])
def test_view_and_queries_are_sql_of_each_engine(dialect: str) -> None:
    assert len(QUERIES) == 5
    for query in (VIEW, *QUERIES):
        (parsed,) = sqlglot.parse(query, read=dialect)
        assert parsed is not None
        tables = {table.name for table in parsed.find_all(sqlglot.exp.Table)}
        assert tables <= {"summary_of_all", *(table.name for table in TABLES)}

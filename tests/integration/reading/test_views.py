"""Views over all tenants and views without content, run by DuckDB on published tables.

sqlglot translates each engine's statements for DuckDB, as `test_reading.py` does with questions.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import duckdb
import pytest
import sqlglot
from deltalake import DeltaTable
from sqlglot import exp

from daily_batch.catalog import Engine
from daily_batch.catalog.ddl import make_script, make_shared_script, make_shared_statements, make_statements
from daily_batch.catalog.target import Target
from daily_batch.domain.contract import AGGREGATES, TABLES, Column
from daily_batch.domain.run import TableFormat
from daily_batch.domain.url import parse_url
from daily_batch.errors import UsageError
from tests.support.day_runs import SAMPLES, makoto_batch, run_local

DIALECTS: Mapping[Engine, str] = {"athena": "athena", "databricks": "databricks", "synapse": "tsql"}
OUTPUTS: Mapping[Engine, str] = {
    "athena": "s3://example-tables",
    "synapse": "abfss://tables@exampleaccount.dfs.core.windows.net",
    "databricks": "abfss://tables@exampleaccount.dfs.core.windows.net",
}
TENANTS = ("acme", "globex")
EACH_ENGINE = pytest.mark.parametrize("engine", DIALECTS)
# What holds content, URLs, prompts or original bytes, stated here apart from the contract.
CONTENT = {"content", "extras", "attachments", "generated_images", "rag_sources", "raw"}


def make_target(engine: Engine, tenant: str = "acme", table_format: TableFormat = "delta") -> Target:
    return Target(tenant=tenant, output=parse_url(OUTPUTS[engine]), table_format=table_format, catalog="main.chat")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("tables")
    for tenant in TENANTS:
        run_local(input=SAMPLES, output=output, tenant=tenant)
    return output


@pytest.fixture
def db(published: Path) -> duckdb.DuckDBPyConnection:
    """Return a database with each tenant's tables in its schema, as the tenants' own statements define them."""
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    for tenant in TENANTS:
        db.execute(f"CREATE SCHEMA chat_{tenant}")
        for table in TABLES:
            files = DeltaTable(str(published / f"{tenant}/analytics/{table.name}")).file_uris()
            db.execute(
                f"CREATE VIEW chat_{tenant}.{table.name} AS SELECT * FROM read_parquet({files!r}, hive_partitioning=1)"
            )
    return db


def parse_view(statement: str, engine: Engine) -> exp.Create:
    parsed = sqlglot.parse_one(statement, dialect=DIALECTS[engine])
    assert isinstance(parsed, exp.Create)
    assert parsed.kind == "VIEW"
    return parsed


def run(db: duckdb.DuckDBPyConnection, engine: Engine, statements: list[str]) -> str:
    """Create a schema and its views; return the schema."""
    views = [parse_view(statement, engine) for statement in statements[1:]]
    (schema,) = {str(view.this.db) for view in views}
    assert f"{schema}" in statements[0]
    db.execute(f'CREATE SCHEMA "{schema}"')
    for view in views:
        for name in view.find_all(exp.Table):
            name.set("catalog", None)  # DuckDB's own
        for collation in view.find_all(exp.Collate):
            collation.replace(collation.this)
        db.execute(view.sql(dialect="duckdb"))
    return schema


def read(db: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, object]]:
    result = db.execute(sql)
    names = [each[0] for each in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


@EACH_ENGINE
def test_the_views_over_all_tenants_hold_every_aggregated_row_with_its_tenant(
    engine: Engine, db: duckdb.DuckDBPyConnection, published: Path
) -> None:
    schema = run(db, engine, make_shared_statements(engine, [make_target(engine, each) for each in TENANTS]))
    for table in AGGREGATES:
        expected = []
        for tenant in TENANTS:
            rows = DeltaTable(str(published / f"{tenant}/analytics/{table.name}")).to_pyarrow_table().to_pylist()
            expected += [str((tenant, row["date"], row["messages"], row["run_id"])) for row in rows]
        assert expected
        shown = read(db, f'SELECT * FROM "{schema}".{table.name}')
        found = [str((row["tenant_id"], row["date"], row["messages"], row["run_id"])) for row in shown]
        assert sorted(found) == sorted(expected)
        assert [name for name in shown[0] if name != "tenant_id"] == [n for n in table.names if n != "tenant_id"]


@EACH_ENGINE
def test_no_view_over_all_tenants_reads_messages_or_rejects(engine: Engine) -> None:
    statements = make_shared_statements(engine, [make_target(engine, each) for each in TENANTS])
    views = [parse_view(statement, engine) for statement in statements[1:]]
    assert [view.this.name for view in views] == ["rooms_daily", "users_daily", "summary_daily"]
    for view in views:
        assert {name.name for name in view.find_all(exp.Table)} == {view.this.name}


@EACH_ENGINE
def test_the_tenant_s_column_of_the_contract_is_selected_once_and_in_its_place(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tuple(column for column in AGGREGATES[0].columns if column.name != "tenant_id")
    for columns in (own, (own[0], Column("tenant_id", "VARCHAR", "tenant", holds="identifier"), *own[1:])):
        table = type(AGGREGATES[0])("rooms_daily", "", columns, ())
        monkeypatch.setattr("daily_batch.catalog.views.AGGREGATES", (table,))
        (_, statement) = make_shared_statements(engine, [make_target(engine, each) for each in TENANTS])
        for part, tenant in zip(parse_view(statement, engine).find_all(exp.Select), TENANTS, strict=True):
            names = [each.alias_or_name for each in part.expressions]
            place = next((n for n, column in enumerate(columns) if column.name == "tenant_id"), 0)
            assert names.index("tenant_id") == place
            assert sorted(names) == sorted({*table.names, "tenant_id"})
            literal = part.expressions[place].find(exp.Literal)
            assert literal is not None and literal.this == tenant


@EACH_ENGINE
@pytest.mark.parametrize("table_format", ["delta", "parquet"])
def test_no_view_without_content_selects_content(engine: Engine, table_format: TableFormat) -> None:
    statements = make_statements(engine, make_target(engine, table_format=table_format), without_content=True)
    views = [parse_view(statement, engine) for statement in statements[1:]]
    assert [view.this.name for view in views] == [table.name for table in TABLES]
    for view, table in zip(views, TABLES, strict=True):
        (select,) = view.find_all(exp.Select)
        names = [each.alias_or_name for each in select.expressions]
        assert not list(select.find_all(exp.Star))
        # `attachments` of the aggregates is a number.
        texts = {column.name for column in table.columns if column.type not in ("BIGINT", "INTEGER")}
        folders = ["year", "month", "day"] if table_format == "parquet" else []
        assert names == [name for name in table.names if name not in CONTENT & texts] + folders


@EACH_ENGINE
def test_views_without_content_show_all_rows_and_no_word_of_a_message(
    engine: Engine, db: duckdb.DuckDBPyConnection
) -> None:
    schema = run(db, engine, make_statements(engine, make_target(engine), without_content=True))
    for table in TABLES:
        counts = [
            db.execute(f'SELECT count(*) FROM "{each}".{table.name}').fetchone() for each in (schema, "chat_acme")
        ]
        assert counts[0] == counts[1]
    shown = json.dumps(read(db, f'SELECT * FROM "{schema}".messages'), default=str, ensure_ascii=False)
    hidden = [
        str(each["content"]) for each in read(db, "SELECT content FROM chat_acme.messages WHERE length(content) > 9")
    ]
    assert len(hidden) > 100
    assert not [each for each in hidden if each in shown]


def test_a_text_column_without_a_decision_is_hidden() -> None:
    assert Column("note", "VARCHAR", "").shows_content
    assert Column("notes", "STRUCT(text VARCHAR)[]", "").shows_content
    assert not Column("note", "VARCHAR", "", holds="fact").shows_content
    assert not Column("notes", "BIGINT", "").shows_content


def test_every_column_that_can_hold_text_says_what_it_holds() -> None:
    assert [f"{table.name}.{column.name}" for table in TABLES for column in table.columns if column.is_undecided] == []
    marked = {column.name for table in TABLES for column in table.columns if column.holds == "content"}
    assert marked == CONTENT


def test_schemas_of_views_are_no_tenant_s() -> None:
    names = {make_target("athena", tenant).schema for tenant in ("acme", "all_tenants", "without_content_acme")}
    shared = make_shared_statements("athena", [make_target("athena")])[0]
    hiding = make_statements("athena", make_target("athena"), without_content=True)[0]
    assert not [name for name in names if f"`{name}`" in shared + hiding]


def test_a_statement_that_athena_does_not_take_is_refused() -> None:
    targets = [make_target("athena", f"tenant-{number}") for number in range(900)]
    assert make_shared_statements("databricks", [make_target("databricks", each.tenant) for each in targets])
    with pytest.raises(UsageError, match=r"900 tenants need a statement of .* Next step: give fewer tenants"):
        make_shared_statements("athena", targets)


@EACH_ENGINE
def test_scripts_say_what_the_views_do_not_hide(engine: Engine) -> None:
    script = make_script(engine, make_target(engine), without_content=True)
    heading = script.partition("\n\n")[0]
    for word in ("users", "rooms", "messages", "object keys", "times", "lengths", "agent modes", "all content"):
        assert word in heading
    assert all(line.startswith("-- ") for line in heading.splitlines())
    assert "every tenant's room ids, user ids" in make_shared_script(engine, [make_target(engine)])


@EACH_ENGINE
def test_an_engine_that_cannot_read_the_output_is_refused(engine: Engine) -> None:
    other = Target(tenant="acme", output=parse_url("/Volumes/a/b/c"), table_format="delta", catalog="main.chat")
    with pytest.raises(UsageError, match="cannot read"):
        make_shared_statements(engine, [make_target(engine), other])
    with pytest.raises(UsageError, match="cannot read"):
        make_statements(engine, other, without_content=True)


def test_databricks_has_no_glue_catalog() -> None:
    target = Target(tenant="acme", output=parse_url("s3://example-tables"), table_format="delta", catalog="glue:chat")
    with pytest.raises(UsageError, match=r"glue:chat is no catalog of Databricks. Next step: give --catalog"):
        make_statements("databricks", target)
    assert make_statements("athena", target) == make_statements("athena", make_target("athena"))


def test_the_command_views_the_tenants_it_finds_or_is_given(tmp_path: Path) -> None:
    flags = ("ddl", "--engine", "databricks", "--output", str(tmp_path), "--input", str(SAMPLES), "--all-tenants")
    for more in ((), ("--tenant", "globex,acme,globex")):
        completed = makoto_batch(*flags, *more)
        assert (completed.returncode, completed.stderr) == (0, "")
        for tenant in TENANTS:
            assert completed.stdout.count(f"'{tenant}' AS `tenant_id`") == len(AGGREGATES)
    answer = json.loads(makoto_batch(*flags, "--json").stdout)
    assert {each["tenant"] for each in answer["tenants"]} == set(TENANTS)
    assert len(answer["shared"]) == 1 + len(AGGREGATES)
    refused = makoto_batch(*flags, "--without-content")
    assert refused.returncode == 2
    assert "two kinds of views are asked for" in refused.stderr


def test_the_command_prints_views_without_content(tmp_path: Path) -> None:
    flags = ("ddl", "--engine", "databricks", "--output", str(tmp_path), "--tenant", "acme", "--without-content")
    completed = makoto_batch(*flags)
    assert (completed.returncode, completed.stderr) == (0, "")
    assert "`chat__without_content_acme`.`messages`" in completed.stdout
    assert "`content`" not in completed.stdout

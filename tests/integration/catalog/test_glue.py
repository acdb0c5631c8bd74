"""Registration in the Glue Data Catalog, by boto3 against moto's server; botocore checks each request by its model."""

import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer
from sqlglot import exp

from daily_batch.catalog.athena import athena_statements
from daily_batch.catalog.columns import hive_type
from daily_batch.catalog.glue_definition import define_table
from daily_batch.catalog.names import plain_schema
from daily_batch.catalog.register import register_published
from daily_batch.catalog.target import Target
from daily_batch.domain.contract import MESSAGES, ROOMS_DAILY, TABLES, Table
from daily_batch.domain.receipt import Receipt
from daily_batch.domain.request import Request
from daily_batch.domain.run import TableFormat
from daily_batch.domain.url import parse_url
from daily_batch.settings import load_settings
from tests.support.day_runs import DAY, SAMPLES, run_local
from tests.support.scripted_server import Answer, answering

FORMATS: tuple[TableFormat, ...] = ("delta", "parquet")
EACH_FORMAT = pytest.mark.parametrize("table_format", FORMATS)
TENANTS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", fullmatch=True)


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadedMotoServer]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def glue(server: ThreadedMotoServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a client of an empty catalog, which the library's client reaches too."""
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-northeast-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_GLUE", f"http://{host}:{port}")
    client = boto3.client("glue")
    for database in client.get_databases()["DatabaseList"]:
        client.delete_database(Name=database["Name"])
    return client


@pytest.fixture(scope="module")
def receipt(tmp_path_factory: pytest.TempPathFactory) -> Receipt:
    return run_local(input=SAMPLES, output=tmp_path_factory.mktemp("tables"))


def register(
    receipt: Receipt,
    *,
    tenant: str = "acme",
    output: str = "s3://made/tables",
    table_format: TableFormat = "delta",
    catalog: str = "glue:chat",
) -> list[str]:
    """Register a receipt's tables as if they were in S3; return the warnings."""
    warnings: list[str] = []
    request = Request(
        tenant=tenant, day=DAY, input=parse_url("s3://chats"), output=parse_url(output), table_format=table_format
    )
    settings = load_settings(flags={"catalog": catalog}, environ={})
    register_published(request, settings, receipt, warn=warnings.append)
    return warnings


def list_tables(glue: Any, database: str = "chat_acme") -> dict[str, dict[str, Any]]:
    return {each["Name"]: each for each in glue.get_tables(DatabaseName=database)["TableList"]}


def make_target(table_format: TableFormat, tenant: str = "acme") -> Target:
    return Target(tenant=tenant, output=parse_url("s3://made/tables"), table_format=table_format, catalog="glue:chat")


@EACH_FORMAT
def test_a_published_day_registers_every_table(glue: Any, receipt: Receipt, table_format: TableFormat) -> None:
    assert register(receipt, table_format=table_format) == []
    tables = list_tables(glue)
    assert set(tables) == {table.name for table in TABLES} == set(receipt.tables)
    for table in TABLES:
        storage = tables[table.name]["StorageDescriptor"]
        assert storage["Location"] == f"s3://made/tables/acme/analytics/{table.name}/"
        columns = {each["Name"]: each["Type"] for each in [*storage["Columns"], *tables[table.name]["PartitionKeys"]]}
        assert {name: columns[name] for name in table.names} == {
            column.name: hive_type(column.type) for column in table.columns
        }


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_definition_of_parquet_is_that_of_athena_s_ddl(table: Table) -> None:
    target = make_target("parquet")
    parsed = sqlglot.parse_one(athena_statements(target)[TABLES.index(table) + 1], dialect="athena")
    definition = define_table(table, target)
    properties = {each.name: each.text("value") for each in parsed.find_all(exp.Property) if each.text("value")}
    assert properties.items() <= definition["Parameters"].items()
    (location,) = (each.this.name for each in parsed.find_all(exp.LocationProperty))
    assert definition["StorageDescriptor"]["Location"] == location
    names = [each.name for each in parsed.find_all(exp.ColumnDef) if isinstance(each.parent, exp.Schema)]
    defined = [*definition["StorageDescriptor"]["Columns"], *definition["PartitionKeys"]]
    assert [each["Name"] for each in defined] == names


@EACH_FORMAT
def test_a_registered_table_is_not_written_again(glue: Any, receipt: Receipt, table_format: TableFormat) -> None:
    register(receipt, table_format=table_format)
    before = list_tables(glue)
    assert register(receipt, table_format=table_format) == []
    assert list_tables(glue) == before
    versions = glue.get_table_versions(DatabaseName="chat_acme", TableName="messages")["TableVersions"]
    assert len(versions) == 1


def test_a_new_column_is_added_and_what_others_added_stays(glue: Any, receipt: Receipt) -> None:
    register(receipt)
    known = define_table(ROOMS_DAILY, make_target("delta"))
    columns = known["StorageDescriptor"]["Columns"]
    added = {"Name": "of_another_contract", "Type": "string"}
    known["StorageDescriptor"]["Columns"] = [added, *columns[:-1]]
    known["Parameters"]["owner_team"] = "data"
    glue.update_table(DatabaseName="chat_acme", TableInput=known)
    assert register(receipt) == []
    table = list_tables(glue)["rooms_daily"]
    assert table["StorageDescriptor"]["Columns"] == [added, *columns]
    assert table["Parameters"]["owner_team"] == "data"


def test_a_table_made_by_athena_s_own_ddl_is_ours(glue: Any, receipt: Receipt) -> None:
    glue.create_database(DatabaseInput={"Name": "chat_acme"})
    storage = {"Columns": [], "Location": "s3://made/tables/acme/analytics/messages"}
    by_hand = {"Name": "messages", "Parameters": {"table_type": "DELTA"}, "StorageDescriptor": storage}
    glue.create_table(DatabaseName="chat_acme", TableInput=by_hand)
    assert register(receipt) == []
    names = [each["Name"] for each in list_tables(glue)["messages"]["StorageDescriptor"]["Columns"]]
    assert ["date", *names] == list(MESSAGES.names)


@pytest.mark.parametrize(
    ("location", "parameters"),
    [
        ("s3://elsewhere/messages/", {"table_type": "DELTA"}),
        ("s3://made/tables/acme/analytics/messages/", {"projection.enabled": "true"}),
    ],
)
def test_a_table_of_other_files_is_left_alone_with_a_warning(
    glue: Any, receipt: Receipt, location: str, parameters: dict[str, str]
) -> None:
    glue.create_database(DatabaseInput={"Name": "chat_acme"})
    other = {"Name": "messages", "Parameters": parameters, "StorageDescriptor": {"Location": location}}
    glue.create_table(DatabaseName="chat_acme", TableInput=other)
    before = list_tables(glue)["messages"]
    (warning,) = register(receipt)
    assert warning.startswith("the day is published, and another table is registered as chat_acme.messages. Next step:")
    tables = list_tables(glue)
    assert tables["messages"] == before
    assert set(tables) == {table.name for table in TABLES}


def test_a_view_under_a_table_s_name_is_left_alone(glue: Any, receipt: Receipt) -> None:
    glue.create_database(DatabaseInput={"Name": "chat_acme"})
    view = {"Name": "messages", "TableType": "VIRTUAL_VIEW", "ViewOriginalText": "/* Presto View */"}
    glue.create_table(DatabaseName="chat_acme", TableInput=view)
    assert len(register(receipt)) == 1
    assert list_tables(glue)["messages"]["TableType"] == "VIRTUAL_VIEW"


def test_a_service_that_does_not_answer_is_a_warning(receipt: Receipt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-northeast-1")
    with socket.socket() as silent:  # bound, so that no other server takes the port, and not listening
        silent.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL_GLUE", f"http://127.0.0.1:{silent.getsockname()[1]}")
        (warning,) = register(receipt)
    assert re.match(
        r"the day is published, its tables are not registered: tenant=acme day=2025-08-12: chat_acme\.\w+ cannot be"
        r" registered in Glue \(EndpointConnectionError\)",
        warning,
    )


@pytest.mark.parametrize(
    ("code", "status", "step"),
    [
        ("AccessDeniedException", 400, "grant this identity the glue actions"),
        ("ThrottlingException", 400, "the next run tries again"),
        ("InternalServiceException", 500, "the next run tries again"),
        ("ExpiredTokenException", 400, "sign in again"),
        ("ResourceNumberLimitExceededException", 400, "raise the account's quota"),
    ],
)
def test_a_refusal_is_a_warning_that_quotes_nothing(
    receipt: Receipt, monkeypatch: pytest.MonkeyPatch, code: str, status: int, step: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-northeast-1")
    refusal = Answer(status, {"__type": code, "message": "of arn:aws:iam::123456789012:role/x"})
    with answering(lambda _: refusal) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_GLUE", url)
        (warning,) = register(receipt)
    assert f"cannot be registered in Glue ({code})" in warning
    assert step in warning
    assert "arn:" not in warning


def test_tables_outside_s3_are_a_warning(receipt: Receipt) -> None:
    (warning,) = register(receipt, output="abfss://tables@account.dfs.core.windows.net")
    assert "Athena cannot read abfss://" in warning


def test_only_tables_that_were_published_are_registered(glue: Any, receipt: Receipt) -> None:
    register(replace(receipt, tables={"messages": receipt.tables["messages"]}))
    assert set(list_tables(glue)) == {"messages"}


def test_a_delta_table_without_a_commit_is_not_registered(glue: Any, receipt: Receipt) -> None:
    empty = replace(receipt.tables["rejects"], version=None)
    register(replace(receipt, tables={**receipt.tables, "rejects": empty}))
    assert set(list_tables(glue)) == {table.name for table in TABLES} - {"rejects"}


def test_tenants_that_differ_by_case_have_their_own_databases(glue: Any, receipt: Receipt) -> None:
    tenants = ("acme", "Acme", "ACME")
    for tenant in tenants:
        assert register(receipt, tenant=tenant) == []
    names = [each["Name"] for each in glue.get_databases()["DatabaseList"]]
    assert len(names) == len(set(names)) == len(tenants)
    assert all(re.fullmatch("chat_[a-z0-9_-]+", name) for name in names)


@given(one=TENANTS, other=TENANTS)
def test_no_two_tenants_have_the_same_database(one: str, other: str) -> None:
    assert (plain_schema("chat", one) == plain_schema("chat", other)) == (one == other)
    # A tenant can be named like the database of another.
    named_like_it = plain_schema("chat", one).removeprefix("chat_")[:63]
    assert (plain_schema("chat", named_like_it) == plain_schema("chat", one)) == (named_like_it == one)

"""Stores in local folders and on an S3 server: exact keys, and one location for obstore, delta-rs and Spark."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import obstore
import pytest
from arro3.core import Array, DataType, Table
from deltalake import DeltaTable, write_deltalake
from moto.server import ThreadedMotoServer

from daily_batch.domain.url import parse_url
from daily_batch.errors import TerminalError, UsageError
from daily_batch.storage.stores import delta_location, open_store, spark_path

AWKWARD_KEYS = [
    "acme/chat/_bob/a b/x.json",
    "acme/chat/.carol/#1/x.json",
    "acme/chat/a=b/100%/x.json",
    "acme/chat/山田 太郎/部屋/x.json",
    "acme/chat/a%2Fb/%41/x.json",
    "acme/chat/q?x/a+b&c/x.json",
    "acme/chat/~t/(p)'\"/x.json",
    "acme/chat/st*r/{a,b}[c]/x.json",
    "acme/chat/e\u0301/x/x.json",
]
ACCOUNT_URL = "abfss://box@acct.dfs.core.windows.net/in"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Yield storage options of an S3 server with the empty bucket `makoto`."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket="makoto")
    yield {"aws_endpoint_url": endpoint, "aws_region": "us-east-1"}
    server.stop()


def make_table() -> Table:
    return Table.from_pydict({"a": Array([1, 2], type=DataType.int64())})


def test_local_folder_keeps_keys_exactly(tmp_path: Path) -> None:
    for key in AWKWARD_KEYS:
        (tmp_path / key).parent.mkdir(parents=True)
        (tmp_path / key).write_text(key)
    store = open_store(parse_url(str(tmp_path)), {})
    assert sorted(meta["path"] for page in obstore.list(store) for meta in page) == sorted(AWKWARD_KEYS)
    assert [bytes(obstore.get(store, key).bytes()).decode() for key in AWKWARD_KEYS] == AWKWARD_KEYS


def test_s3_keeps_keys_exactly(s3: dict[str, str]) -> None:
    client = boto3.client("s3", endpoint_url=s3["aws_endpoint_url"], region_name="us-east-1")
    for key in AWKWARD_KEYS:
        client.put_object(Bucket="makoto", Key=f"in/{key}", Body=key.encode())
    store = open_store(parse_url("s3://makoto/in"), s3)
    assert sorted(meta["path"] for page in obstore.list(store) for meta in page) == sorted(AWKWARD_KEYS)
    assert [bytes(obstore.get(store, key).bytes()).decode() for key in AWKWARD_KEYS] == AWKWARD_KEYS
    obstore.put(store, "out/100% #1", b"x")
    assert client.get_object(Bucket="makoto", Key="in/out/100% #1")["Body"].read() == b"x"


def test_s3_accepts_the_usual_endpoint_options(s3: dict[str, str]) -> None:
    plain = {"aws_endpoint_url_s3": s3["aws_endpoint_url"], "aws_region": "us-east-1", "aws_allow_http": "true"}
    store = open_store(parse_url("s3://makoto"), plain | {"aws_virtual_hosted_style_request": "false"})
    obstore.put(store, "k", b"v")
    assert bytes(obstore.get(open_store(parse_url("s3://makoto"), s3), "k").bytes()) == b"v"


def test_delta_and_obstore_use_the_same_location_on_s3(s3: dict[str, str]) -> None:
    url = parse_url("s3://makoto/out").child("acme/analytics/messages")
    location, options = delta_location(url, s3 | {"azure_storage_account_name": "other"})
    write_deltalake(location, make_table(), storage_options=options)
    listed = [meta["path"] for page in obstore.list(open_store(url, s3), "_delta_log") for meta in page]
    assert listed == ["_delta_log/00000000000000000000.json"]
    assert DeltaTable(location, storage_options=options).version() == 0


@pytest.mark.parametrize("name", ["plain", "a b#c", "100%", "q?x", "日本", "st*r"])
def test_delta_and_obstore_use_the_same_location_on_disk(tmp_path: Path, name: str) -> None:
    url = parse_url(str(tmp_path)).child(name)
    location, options = delta_location(url, {"aws_region": "x"})
    write_deltalake(location, make_table(), storage_options=options)
    listed = [meta["path"] for page in obstore.list(open_store(url, {}), "_delta_log") for meta in page]
    assert listed == ["_delta_log/00000000000000000000.json"]


@pytest.mark.parametrize("name", ["%20x", "br[a]", "a{b}", "a|b", "a^b", "back\\s"])
def test_folder_that_delta_would_misread_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        delta_location(parse_url(str(tmp_path / name)), {})


def test_missing_folder_is_an_error_unless_it_is_created(tmp_path: Path) -> None:
    url = parse_url(str(tmp_path / "new" / "folder"))
    with pytest.raises(TerminalError):
        open_store(url, {})
    obstore.put(open_store(url, {}, create=True), "k", b"v")
    assert (tmp_path / "new" / "folder" / "k").read_bytes() == b"v"


def test_file_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for create in (False, True):
        with pytest.raises(TerminalError):
            open_store(parse_url(str(tmp_path / "file")), {}, create=create)


def test_relative_folder_is_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "samples").mkdir()
    obstore.put(open_store(parse_url("samples"), {}), "k", b"v")
    assert (tmp_path / "samples" / "k").read_bytes() == b"v"
    assert delta_location(parse_url("samples"), {}) == (str(tmp_path / "samples"), {})
    assert spark_path(parse_url("samples")) == f"file://{tmp_path}/samples"


@pytest.mark.parametrize(
    "options", [{"nope": "1"}, {"timeout": "hunter2"}, {"max_retries": "many"}, {"retry_timeout": "1 day"}]
)
def test_invalid_option_is_a_usage_error(options: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        open_store(parse_url("s3://makoto"), options)


def test_callers_options_are_not_changed() -> None:
    options = {"aws_allow_http": "true", "aws_region": "us-east-1"}
    open_store(parse_url("s3://makoto"), options)
    delta_location(parse_url("s3://makoto"), options)
    assert options == {"aws_allow_http": "true", "aws_region": "us-east-1"}


def test_azure_gets_its_own_options_only() -> None:
    account_options = {"aws_region": "x", "azure_storage_account_key": "a2V5", "azure_storage_account_name": "acct"}
    location, options = delta_location(parse_url(ACCOUNT_URL), account_options)
    assert location == ACCOUNT_URL
    assert {name for name in options if name.startswith(("aws_", "azure_"))} == set(account_options) - {"aws_region"}
    assert open_store(parse_url(ACCOUNT_URL), account_options).prefix == "in"


def test_account_comes_from_the_url() -> None:
    _, options = delta_location(parse_url(ACCOUNT_URL), {"azure_storage_account_key": "a2V5"})
    assert options["azure_storage_account_name"] == "acct"


def test_key_for_another_account_is_refused() -> None:
    account_options = {"azure_storage_account_name": "other", "azure_storage_account_key": "hunter2"}
    with pytest.raises(UsageError) as caught:
        open_store(parse_url(ACCOUNT_URL), account_options)
    assert "hunter2" not in str(caught.value)


def test_emulator_gets_no_account_or_endpoint() -> None:
    account_options = {
        "azure_storage_use_emulator": "true",
        "azure_storage_account_name": "x",
        "azure_storage_endpoint": "http://h",
    }
    _, options = delta_location(parse_url(ACCOUNT_URL), account_options)
    assert [name for name in options if name.startswith("azure_")] == ["azure_storage_use_emulator"]


def test_only_an_http_endpoint_allows_http() -> None:
    def allowed(options: dict[str, str]) -> str | None:
        return delta_location(parse_url("s3://makoto"), options)[1].get("allow_http")

    assert allowed({}) is None
    assert allowed({"aws_endpoint_url": "https://store.example"}) is None
    assert allowed({"aws_endpoint_url": "http://store.example"}) == "true"
    assert allowed({"aws_allow_http": "TRUE"}) == "true"
    assert allowed({"aws_endpoint_url": "http://store.example", "allow_http": "false"}) == "false"


def test_spark_gets_a_path_for_each_form() -> None:
    assert spark_path(parse_url("s3://makoto/a b")) == "s3a://makoto/a b"
    assert spark_path(parse_url("s3://makoto")) == "s3a://makoto"
    assert spark_path(parse_url(ACCOUNT_URL)) == ACCOUNT_URL
    assert spark_path(parse_url("/Volumes/a/b/c")) == "/Volumes/a/b/c"
    assert spark_path(parse_url("file:///a%20b")) == "file:///a b"

"""Precedence, origins, validation and masking of settings; their page; what a job gets."""

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from daily_batch.domain.run import Limits
from daily_batch.errors import UsageError
from daily_batch.settings import GROUPS, Settings, help_text, load_settings, parse_connection_string
from daily_batch.settings import load as loading
from daily_batch.settings.definition import DEFINITIONS

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "jobs" / "daily_batch"
CONNECTION = "DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=aHVudGVyMg==;EndpointSuffix=core.windows.net"


def load(
    environ: dict[str, str] | None = None, *, conf_dir: Path | None = None, env: str | None = None, **flags: object
) -> Settings:
    return load_settings(flags=flags, environ=environ or {}, conf_dir=conf_dir, env=env)


def origin_of(settings: Settings, name: str) -> str:
    return {name: origin for name, _, origin in settings.explain()}[name]


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    folder = tmp_path / "conf"
    folder.mkdir()
    (folder / "defaults.toml").write_text("slack_seconds = 1\nbuckets = 1\nmax_depth = 1\ntarget_file_bytes = 1\n")
    (folder / "prod.toml").write_text("slack_seconds = 2\nbuckets = 2\nmax_depth = 2\n")
    return folder


def test_defaults_are_the_documented_ones() -> None:
    settings = load()
    assert settings.tenants == ("default_tenant",)
    assert (settings.timezone, settings.naive_timezone, settings.target_date_offset) == ("Asia/Tokyo", "UTC", -1)
    assert (settings.slack_seconds, settings.discovery, settings.buckets) == (900, "listing", 0)
    assert (settings.target_file_bytes, settings.max_reject_ratio) == (128 * 2**20, 0.5)
    assert (settings.layout, settings.table_format) == ("auto", "delta")


def test_each_setting_has_one_definition_a_description_and_a_default() -> None:
    names = [each.name for each in DEFINITIONS]
    assert sorted(names) == sorted({each.name for each in fields(Settings)} - {"origins"})
    assert [name for name in names if names.count(name) > 1] == []
    assert [each.name for each in DEFINITIONS if not each.meta.description.endswith(".")] == []
    texts = {name: value for name, value, _ in load().explain() if not name.startswith("quality.")}
    assert load_settings(flags=texts, environ={}) == load()


def test_page_is_generated_from_the_definitions() -> None:
    page = subprocess.run([sys.executable, ROOT / "tools" / "settings"], check=True, capture_output=True, text=True)
    assert page.stdout == (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert len(GROUPS) > 10


def test_help_names_the_default() -> None:
    assert help_text("slack_seconds").endswith(" Default: 900.")
    assert "Default" not in help_text("input")


def test_flags_win_over_environment_over_env_file_over_defaults(conf: Path) -> None:
    environ = {"MAKOTO_SLACK_SECONDS": "3", "MAKOTO_BUCKETS": "3"}
    settings = load(environ, conf_dir=conf, env="prod", slack_seconds=4)
    assert (settings.slack_seconds, settings.buckets, settings.max_depth, settings.target_file_bytes) == (4, 3, 2, 1)
    assert settings.fetch_concurrency == Limits().fetch_concurrency
    assert [origin_of(settings, name) for name in ("slack_seconds", "buckets", "max_depth", "target_file_bytes")] == [
        "flag --slack-seconds",
        "MAKOTO_BUCKETS",
        "conf/prod.toml",
        "conf/defaults.toml",
    ]
    assert origin_of(settings, "fetch_concurrency") == "default"


def test_packaged_file_overrides_the_defaults(conf: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "defaults.toml").write_text("buckets = 7\nlook_back = 7\ntenants = ['default_tenant']\n")
    monkeypatch.setattr(loading.resources, "files", lambda package: tmp_path)
    settings = load(conf_dir=conf)
    assert (settings.buckets, settings.look_back) == (1, 7)
    assert origin_of(settings, "look_back") == "defaults.toml"
    assert not settings.names_tenants


def test_environment_can_name_the_conf_folder_and_file(conf: Path) -> None:
    assert load({"MAKOTO_CONF_DIR": str(conf), "MAKOTO_ENV": "prod"}).buckets == 2
    assert load({"MAKOTO_CONF_DIR": str(conf)}).buckets == 1


def test_flag_that_was_not_given_changes_nothing() -> None:
    assert load({"MAKOTO_BUCKETS": "3"}, buckets=None).buckets == 3


def test_guides_variables_are_read() -> None:
    settings = load(
        {
            "TENANT_ID": "acme, globex,acme",
            "TARGET_DATE_OFFSET": "-2",
            "BATCH_TIMEZONE": "UTC",
            "NAIVE_TIMEZONE": "Asia/Tokyo",
            "AWS_DEFAULT_REGION": "ap-northeast-1",
            "S3_BUCKET_NAME": "makoto-data",
            "DYNAMODB_TABLE_NAME": "makoto-metadata",
            "COSMOS_ENDPOINT": "https://x.documents.azure.com",
            "COSMOS_KEY": "hunter2",
            "MAKOTO_NOTIFY_URL": "https://hooks.slack.com/services/hunter2",
            "AZURE_STORAGE_CONNECTION_STRING": CONNECTION,
        }
    )
    assert settings.tenants == ("acme", "globex")
    assert (settings.target_date_offset, settings.timezone, settings.naive_timezone) == (-2, "UTC", "Asia/Tokyo")
    assert (settings.input, settings.output) == ("s3://makoto-data", "s3://makoto-data")
    assert (settings.dynamodb_table, settings.cosmos_endpoint, settings.cosmos_key) == (
        "makoto-metadata",
        "https://x.documents.azure.com",
        "hunter2",
    )
    assert settings.storage_options == {
        "aws_region": "ap-northeast-1",
        "azure_storage_account_name": "acct",
        "azure_storage_account_key": "aHVudGVyMg==",
    }


def test_prefixed_variables_and_flags_override_the_bucket_name() -> None:
    settings = load({"S3_BUCKET_NAME": "makoto-data", "MAKOTO_INPUT": "in"}, output=Path("out"))
    assert (settings.input, settings.output) == ("in", "out")


def test_more_specific_aws_variable_wins() -> None:
    settings = load(
        {
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": "http://s3:1",
            "AWS_ENDPOINT_URL": "http://all:1",
            "AWS_ALLOW_HTTP": "true",
            "AWS_SECRET_ACCESS_KEY": "hunter2",
        }
    )
    assert settings.storage_options == {
        "aws_region": "eu-west-1",
        "aws_endpoint_url": "http://s3:1",
        "aws_allow_http": "true",
    }
    assert origin_of(settings, "storage_options.aws_region") == "AWS_REGION"


def test_storage_options_merge_key_by_key(conf: Path) -> None:
    (conf / "prod.toml").write_text('[storage_options]\ntimeout = "9s"\naws_region = "a"\n')
    environ = {"AWS_REGION": "b", "MAKOTO_STORAGE_OPTIONS": json.dumps({"aws_request_payer": "true"})}
    settings = load(environ, conf_dir=conf, env="prod", storage_options={"allow_http": "true"})
    assert settings.storage_options == {
        "timeout": "9s",
        "aws_region": "b",
        "aws_request_payer": "true",
        "allow_http": "true",
    }
    assert origin_of(settings, "storage_options.timeout") == "conf/prod.toml"


def test_empty_variable_counts_as_unset_except_for_tenants() -> None:
    assert load({"BATCH_TIMEZONE": "", "AWS_ENDPOINT_URL": "", "S3_BUCKET_NAME": ""}) == load()
    assert load({"TENANT_ID": ""}).tenants == ("",)


def test_only_spaces_around_commas_are_dropped() -> None:
    assert load({"TENANT_ID": " acme , globex\n"}).tenants == ("acme", "globex\n")


def test_secrets_are_never_shown() -> None:
    settings = load(
        {
            "COSMOS_KEY": "hunter2",
            "MAKOTO_NOTIFY_URL": "https://hooks.slack.com/services/hunter2",
            "AZURE_STORAGE_CONNECTION_STRING": CONNECTION,
            "MAKOTO_STORAGE_OPTIONS": json.dumps(
                {
                    "aws_secret_access_key": "hunter2",
                    "aws_session_token": "hunter2",
                    "azure_storage_sas_key": "hunter2",
                    "proxy_url": "http://me:hunter2@proxy",
                }
            ),
        }
    )
    printed = str(settings) + repr(settings.explain())
    assert "hunter2" not in printed
    assert "aHVudGVyMg" not in printed
    masked = {name for name, value, _ in settings.explain() if value == "********"}
    assert masked == {
        "cosmos_key",
        "notify_url",
        "storage_options.azure_storage_account_key",
        "storage_options.aws_secret_access_key",
        "storage_options.aws_session_token",
        "storage_options.azure_storage_sas_key",
        "storage_options.proxy_url",
    }


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MAKOTO_NO_SUCH", "1"),
        ("MAKOTO_ORIGINS", "{}"),
        ("MAKOTO_BUCKETS", "many"),
        ("MAKOTO_BUCKETS", "-1"),
        ("MAKOTO_MAX_DEPTH", "0"),
        ("MAKOTO_MAX_REJECT_RATIO", "1.5"),
        ("MAKOTO_LAYOUT", "both"),
        ("MAKOTO_TABLE_FORMAT", "iceberg"),
        ("TARGET_DATE_OFFSET", "yesterday"),
        ("MAKOTO_STORAGE_OPTIONS", "{"),
        ("MAKOTO_STORAGE_OPTIONS", '{"a": 1}'),
        ("AZURE_STORAGE_CONNECTION_STRING", "hunter2"),
        ("MAKOTO_QUALITY", "0.1"),
        ("MAKOTO_QUALITY", '{"max_rejected": NaN}'),
        ("MAKOTO_QUALITY", '{"max_reject": 0.1}'),
    ],
)
def test_invalid_variable_is_a_usage_error_that_names_it(variable: str, value: str) -> None:
    with pytest.raises(UsageError) as caught:
        load({variable: value})
    assert variable in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["no_such = 1", 'buckets = "1"', "tenants = 'acme'", "[storage_options]\na = 1", "buckets =", "discovery = 'x'"],
)
def test_invalid_file_is_a_usage_error_that_names_it(conf: Path, text: str) -> None:
    (conf / "prod.toml").write_text(text)
    with pytest.raises(UsageError, match=r"conf/prod\.toml"):
        load(conf_dir=conf, env="prod")


def test_invalid_flag_is_a_usage_error_that_names_it() -> None:
    with pytest.raises(UsageError, match="flag --format"):
        load(table_format="iceberg")


@pytest.mark.parametrize(
    "environ", [{"BATCH_TIMEZONE": "Asia/Tokio"}, {"MAKOTO_EXPORT_TEMPLATE": "exports/{yyyy}/{mm}/{dd}"}]
)
def test_invalid_zone_or_template_is_a_usage_error(environ: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        load(environ)


@pytest.mark.parametrize("env", ["staging", "../prod", "prod.toml", "/etc/passwd"])
def test_environment_without_a_file_is_a_usage_error(conf: Path, env: str) -> None:
    with pytest.raises(UsageError):
        load(conf_dir=conf, env=env)


def test_environment_without_a_conf_folder_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        load(env="prod")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("UseDevelopmentStorage=true", {"azure_storage_use_emulator": "true"}),
        (
            "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=a==;"
            "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;",
            {"azure_storage_use_emulator": "true"},
        ),
        (
            "BlobEndpoint=https://acct.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=a%3D",
            {"azure_storage_account_name": "acct", "azure_storage_sas_key": "sv=1&sig=a%3D"},
        ),
        (
            "AccountName=acct;AccountKey=k=;BlobEndpoint=https://blob.example/acct",
            {
                "azure_storage_account_name": "acct",
                "azure_storage_account_key": "k=",
                "azure_storage_endpoint": "https://blob.example/acct",
            },
        ),
    ],
)
def test_connection_strings_become_options(text: str, expected: dict[str, str]) -> None:
    assert parse_connection_string(text) == expected

"""Folders of tables and of messages must not overlap, in any notation."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from daily_batch.domain.keys import EXPORT_TEMPLATE
from daily_batch.domain.request import Request
from daily_batch.errors import UsageError
from daily_batch.orchestration.requests import build_requests
from daily_batch.settings import load_settings

NOW = datetime(2026, 11, 22, 17, tzinfo=UTC)
LAKE = "abfss://chat@lake.dfs.core.windows.net"


def build(source: object, target: object, *, tenant: str = "acme", template: str = EXPORT_TEMPLATE) -> Request:
    flags: dict[str, object] = {"input": str(source), "output": str(target), "tenants": tenant}
    (request,) = build_requests(load_settings(flags={**flags, "export_template": template}, environ={}), NOW)
    return request


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("s3://bucket", "s3://bucket/acme/chat"),
        ("s3://bucket", "s3://bucket/acme/chat/u/r/messages"),
        ("s3://bucket", "s3://bucket/globex/chat/x"),
        ("s3://bucket/raw", "s3://bucket/raw/acme/exports/messages"),
        ("s3://bucket/raw", "s3://bucket/raw/acme/exports/messages/2025/08"),
        ("s3://bucket/out/acme/analytics", "s3://bucket/out"),
        ("s3://bucket/out/globex/analytics/x", "s3://bucket/out"),
        (LAKE, f"{LAKE}/acme/chat"),
        (f"{LAKE}/t/acme/analytics", f"{LAKE}/t"),
        ("in", "in/acme/chat"),
        ("in", "./other/../in/acme/chat"),
        ("file:///data/in", "/data/in/acme/exports/messages"),
        ("/Volumes/c/s/v", "/Volumes/c/s/v/acme/chat"),
    ],
)
def test_overlapping_folders_of_tables_and_messages_are_refused(source: str, target: str) -> None:
    with pytest.raises(UsageError, match="would be in one folder"):
        build(source, target)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket", "s3://other/acme/chat"),
        ("s3://bucket/raw", "s3://bucket/tables"),
        ("s3://bucket/raw", "s3://bucket/raw/tables"),
        ("s3://bucket/raw/in", "s3://bucket/raw"),
        (LAKE, LAKE),
        (LAKE, "abfss://chat@other.dfs.core.windows.net/acme/chat"),
        ("in", "in"),
        ("in", "in/out"),
        ("/data/in", "s3://data/in/acme/chat"),
    ],
)
def test_similar_but_separate_folders_are_accepted(source: str, target: str) -> None:
    assert str(build(source, target).output) == target


def test_export_template_is_compared_part_by_part() -> None:
    build("s3://bucket", "s3://bucket", template="{tenant}/{yyyy}/{mm}/{dd}/")
    with pytest.raises(UsageError, match="one folder"):
        build("s3://bucket", "s3://bucket", template="{tenant}/analytics/{yyyy}/{mm}/{dd}/")
    with pytest.raises(UsageError, match="one folder"):
        build("s3://bucket", "s3://bucket/acme/2025/08/12", template="{tenant}/{yyyy}/{mm}/{dd}/")


def test_links_are_resolved(tmp_path: Path) -> None:
    (tmp_path / "in/acme/chat/u").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "in/acme/chat")
    with pytest.raises(UsageError, match="one folder"):
        build(tmp_path / "in", tmp_path / "out")
    (tmp_path / "elsewhere/chat").mkdir(parents=True)
    (tmp_path / "in/globex").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="one folder"):
        build(tmp_path / "in", tmp_path / "elsewhere/chat", tenant="globex")
    (tmp_path / "tables/acme").mkdir(parents=True)
    (tmp_path / "tables/acme/analytics").symlink_to(tmp_path / "in/acme/chat/u")
    with pytest.raises(UsageError, match="one folder"):
        build(tmp_path / "in", tmp_path / "tables")
    assert build(tmp_path / "in", tmp_path / "tables", tenant="globex")

"""Test the listing of a tenant's files, live or not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from daily_batch.domain.contract import MESSAGES, Table
from daily_batch.maintenance.table_files import TenantTables
from daily_batch.pipeline.publish import delta_log
from tests.support.maintenance_days import Publish


def test_a_table_is_opened_once_and_again_with_renewed_credentials(
    small_source: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = publish(small_source)
    credentials = {"aws_session_token": "first"}

    class Renewed(TenantTables):
        def location(self, table: Table) -> tuple[str, Mapping[str, str]]:
            return super().location(table)[0], credentials

    opened: list[str] = []
    open_table = delta_log.open_table

    def count(location: str, options: Mapping[str, str]) -> Any:
        opened.append(options.get("aws_session_token", ""))
        return open_table(location, options)

    monkeypatch.setattr(delta_log, "open_table", count)
    tables = Renewed(tenant=tenant.tables.tenant, storage=tenant.tables.storage)
    first = tables.live_keys(MESSAGES)
    tenant.run(small_source)
    opened.clear()
    assert tables.live_keys(MESSAGES).isdisjoint(first)
    assert "first" not in opened
    credentials["aws_session_token"] = "second"
    assert tables.live_keys(MESSAGES) == tenant.tables.live_keys(MESSAGES) != frozenset()
    assert opened.count("second") == 1

"""Run a night with the platform's metadata store: read its rooms, and record the result in its item."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.local_cloud.azure.cosmos import CosmosAccount
from tests.support.day_runs import DAY, SAMPLES, makoto_batch, read_tables, run_local
from tests.support.metadata_servers import DynamoDbTable


def run_command(source: Path, output: Path, environment: Mapping[str, str], *words: str, tenant: str = "acme") -> Any:
    """Run a command on the day; return its exit status and JSON."""
    options = ("--tenant", tenant, "--input", str(source), "--output", str(output), "--json")
    completed = makoto_batch(*words, *options, **environment)
    assert completed.stdout, completed.stderr
    return completed.returncode, json.loads(completed.stdout)


@pytest.mark.parametrize("store", ["dynamodb", "cosmos"])
def test_run_reads_rooms_from_the_metadata_store_and_records_its_result(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server: DynamoDbTable | CosmosAccount = request.getfixturevalue(
        "dynamodb_table" if store == "dynamodb" else "cosmos_account"
    )
    tenant = f"acme-{store}"
    source = tmp_path / "in"
    shutil.copytree(SAMPLES / "acme", source / tenant)
    rooms = sorted(path.relative_to(SAMPLES / "acme/chat") for path in (SAMPLES / "acme/chat").glob("*/*"))
    inactive, *active = rooms
    put_metadata(
        server, tenant, {str(room): "2025-08-12T14:00:00Z" for room in active} | {str(inactive): "2025-08-10T00:00:00Z"}
    )
    environment = dict(server.environment)
    date = ("--date", DAY.isoformat())

    status, planned = run_command(
        source, tmp_path / "out", environment, "plan", *date, "--verify-discovery", tenant=tenant
    )
    assert status == 0
    assert [missed["room"] for missed in planned["days"][0]["discovery"]["missed"]] == [f"{tenant}/chat/{inactive}"]

    words = ("run", *date, "--discovery", "metadata")
    status, ran = run_command(source, tmp_path / "out", environment, *words, tenant=tenant)
    assert status == 0
    run_local(input=source, output=tmp_path / "all", tenant=tenant)
    everything = read_tables(tmp_path / "all", tenant=tenant)["messages"]
    expected = [row for row in everything if row["room_id"] != inactive.name]
    assert read_tables(tmp_path / "out", tenant=tenant)["messages"] == expected
    assert 0 < len(expected) < len(everything)

    span = ("--from", DAY.isoformat(), "--to", DAY.isoformat())
    status, report = run_command(source, tmp_path / "out", environment, "status", *span, tenant=tenant)
    (row,) = report["days"]
    assert (row["state"], row["messages"], row["run_id"]) == (
        "COMPLETED_WITH_REJECTS",
        len(expected),
        ran["receipts"][0]["run_id"],
    )
    assert not list(tmp_path.rglob("*.sqlite"))


def put_metadata(server: DynamoDbTable | CosmosAccount, tenant: str, rooms: Mapping[str, str]) -> None:
    """Write a tenant, its users and rooms as the platform does; `rooms` has the `updated_at` of each `user/room`."""
    items: list[dict[str, str]] = [{"PK": "SYSTEM#TENANTS", "SK": f"TENANT#{tenant}", "tenant_id": tenant}]
    users = {room.split("/")[0] for room in rooms}
    items += [{"PK": f"TENANT#{tenant}", "SK": f"USER#{user}"} for user in users]
    for path, updated_at in rooms.items():
        user, room = path.split("/")
        items.append({"PK": f"TENANT#{tenant}#USER#{user}", "SK": f"CHAT#{room}", "updated_at": updated_at})
    for number, item in enumerate(items):
        if isinstance(server, DynamoDbTable):
            attributes = {name: {"S": value} for name, value in item.items()}
            server.client().put_item(TableName=server.name, Item=attributes)
        else:
            server.container().create_item({**item, "id": f"{tenant}-{number}"})

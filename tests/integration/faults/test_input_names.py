"""FAULTS 42 to 46: names in paths, ids and tenants that could reach other data. Expectations are written by hand."""

import json
from pathlib import Path

import pytest

from daily_batch.errors import UsageError
from tests.oracle.listed import Link
from tests.support.adversarial_day import EXPORT, ROOM, line, run_export, run_object, run_objects


@pytest.mark.parametrize(
    "tenant", ["..", "a/b", "%2e%2e", "a\\b", "a\0", "", "a" * 300, "*", "{a,b}", "[a]", "\u0430cme", "acme\n", "-a"]
)
def test_42_invalid_tenant_name_is_rejected_before_any_io(tmp_path: Path, tenant: str) -> None:
    output = tmp_path / "out"
    with pytest.raises(UsageError, match="is not allowed"):
        run_objects(tmp_path, {}, tenant=tenant)
    assert not output.exists()


def test_43_run_reads_nothing_of_a_tenant_with_the_same_prefix(tmp_path: Path) -> None:
    outcome = run_objects(
        tmp_path,
        {
            f"{ROOM}/2025/08/12/01-02-03Z-m1.json": line(),
            "acme-2/chat/u1/r1/messages/2025/08/12/01-02-03Z-m2.json": line(message_id="m2"),
            "acme-2/exports/messages/2025/08/12/a.jsonl": line(message_id="m3"),
        },
    )
    assert outcome.row["message_id"] == "m1"


def test_43_unsafe_symlinks_are_rejected(tmp_path: Path) -> None:
    day = f"{ROOM}/2025/08/12"
    foreign = line(message_id="foreign")
    outcome = run_objects(
        tmp_path,
        {
            "globex/chat/g1/r1/messages/2025/08/12/01-02-03Z-g1.json": foreign,
            f"{day}/01-02-03Z-m1.json": line(),
            f"{day}/01-02-04Z-g1.json": Link(
                "../../../../../../../../globex/chat/g1/r1/messages/2025/08/12/01-02-03Z-g1.json"
            ),
            f"{day}/folder": Link("../../../../../../../../globex/chat/g1/r1/messages/2025/08/12"),
            f"{day}/01-02-05Z-gone.json": Link("missing.json"),
            f"{day}/circle": Link(".."),
            "acme/chat/g1": Link("../../globex/chat/g1"),
            "acme/chat/u1/g1": Link("/"),
            "acme/chat/u1/r2/messages": Link("../../../../../globex/chat/g1/r1/messages"),
            "acme/exports": Link("../globex/exports"),
        },
    )
    assert outcome.row["message_id"] == "m1"
    assert outcome.reasons == ["invalid_link"] * 8
    assert {(reject["source_line"], reject["raw"], reject["raw_truncated"]) for reject in outcome.rejects} == {
        (0, b"", True)
    }
    assert (outcome.receipt.objects.listed, outcome.receipt.objects.unreadable) == (9, 8)


def test_43_symlink_within_the_tenant_folder_is_read(tmp_path: Path) -> None:
    objects: dict[str, bytes | Link] = {
        "acme/archive/a.jsonl": line(message_id="m1"),
        "acme/archive/b.jsonl": line(message_id="m2"),
        "acme/more/c.jsonl": line(message_id="m3"),
        f"{EXPORT}/c.jsonl": Link("../../../../../more/c.jsonl"),
        f"{EXPORT}/all": Link("../../../../../archive"),
    }
    outcome = run_objects(tmp_path, objects)
    assert sorted(row["source_key"] for row in outcome.rows) == [
        f"{EXPORT}/{n}" for n in ("all/a.jsonl", "all/b.jsonl", "c.jsonl")
    ]
    assert outcome.receipt.status == "COMPLETED"


def test_44_path_wins_over_a_body_with_another_tenant_user_or_room(tmp_path: Path) -> None:
    row = run_object(tmp_path, line(tenant_id="globex", user_id="eve", room_id="other")).row
    assert (row["user_id"], row["room_id"]) == ("u1", "r1")
    assert row["flags"] == ["room_conflict", "tenant_conflict", "user_conflict"]
    assert json.loads(row["extras"]) == {"tenant_id": "globex", "user_id": "eve", "room_id": "other"}


def test_45_unusual_names_in_a_path_are_read_exactly(tmp_path: Path) -> None:
    names = ["_bob", ".carol", "a=b", "山田 太郎", "x#y", "50%off", "it's", 'quo"te', "year=2025", "%2F"]
    objects = {
        f"acme/chat/{user}/{user}/messages/2025/08/12/01-02-03.000Z-{user}.json": line(
            message_id=..., user_id=..., room_id=...
        )
        for user in names
    }
    outcome = run_objects(tmp_path, objects)
    assert sorted(row["user_id"] for row in outcome.rows) == sorted(names)
    assert sorted(row["source_key"] for row in outcome.rows) == sorted(objects)
    assert all(row["user_id"] == row["room_id"] == row["message_id"] for row in outcome.rows)


@pytest.mark.parametrize("folder", [EXPORT, f"{ROOM}/2025/08/12"], ids=["export", "messages"])
def test_45_object_with_an_unreadable_name_is_one_reject(tmp_path: Path, folder: str) -> None:
    names = ["a\x01.json", "a\n.json", "\x7f/a.json", "a.json#1", "_SUCCESS#1"]
    objects = {f"{folder}/{name}": line(message_id=f"m{number}") for number, name in enumerate(names)}
    outcome = run_objects(tmp_path, {**objects, f"{folder}/01-02-03Z-m.json": line(message_id="m")})
    assert outcome.row["message_id"] == "m"
    assert sorted(reject["source_key"] for reject in outcome.rejects) == sorted(objects)
    assert outcome.reasons == ["invalid_name"] * len(names)
    assert {reject["raw"] for reject in outcome.rejects} == {b""}


def test_46_quotes_are_data_in_every_field(tmp_path: Path) -> None:
    hostile = "'; DROP TABLE rows; --\" \\ %s $1"
    for fmt in ("delta", "parquet"):
        body = line(message_id=hostile, room_id=hostile, user_id=hostile, role=hostile, content=hostile)
        outcome = run_export(tmp_path, body, output=f"out {fmt} it's", table_format=fmt)
        row = outcome.row
        assert [row[name] for name in ("message_id", "room_id", "user_id", "content")] == [hostile] * 4

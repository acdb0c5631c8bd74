"""Test that no later run undoes an erasure: over the same input nothing of the erased is published, and sums hold."""

import gzip
import json
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from typer.testing import CliRunner

from daily_batch.cli import app
from daily_batch.domain.receipt import check_sums
from daily_batch.domain.url import parse_url
from daily_batch.errors import LeaseHeldError, TerminalError
from daily_batch.maintenance import erasure as erase_module
from daily_batch.pipeline.erased_list import ListedErasure, add_to_list, make_key, read_erased, read_list
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.pipeline.runners.spark import SparkRunner
from daily_batch.storage.stores import Storage
from daily_batch.synthetic import FaultRates, generate
from tests.support.day_runs import DAY, read_tables, run_local, silent
from tests.support.erased_runs import check_by_oracle, list_as_erased, places_naming
from tests.support.maintenance_days import (
    HOSTILE,
    Publish,
    Tenant,
    files_containing,
    hostile_records,
    message,
    write_export,
    write_objects,
)

ERASED = ('o\'brien "x"', "50%_off", "佐藤 花子", "a\\u0062\\d.*", "user_1")
KEPT = tuple(user for user in HOSTILE if user not in ERASED)


@pytest.fixture(autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of this test's temporary files."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def storage_of(output: Path) -> Storage:
    return Storage(input=parse_url(str(output)), output=parse_url(str(output)))


def as_gzip(source: Path, target: Path) -> Path:
    """Copy an export with its file compressed, and as one array of its valid records."""
    for path in source.rglob("*.jsonl"):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True)
        Path(f"{copy}.gz").write_bytes(gzip.compress(path.read_bytes()))
        valid = [line for line in path.read_text(errors="replace").splitlines() if _is_json(line)]
        copy.with_suffix(".json").write_text(f"[{','.join(valid)}]")
    return target


def _is_json(line: str) -> bool:
    try:
        return bool(json.loads(line)) and "\ufffd" not in line
    except ValueError:
        return False


@pytest.mark.parametrize("table_format", ["delta", "parquet"])
def test_backfill_over_the_same_input_publishes_nothing_of_the_erased(
    tmp_path: Path, temporary: Path, hostile_source: Path, publish: Publish, table_format: str
) -> None:
    tenant = publish(hostile_source, table_format=table_format)
    for user in ERASED:
        assert places_naming([user], tenant.output) != []
    tenant.erase("user", *ERASED)
    assert places_naming(ERASED, tenant.output) == []
    flags = ["--tenant", "acme", "--from", str(DAY), "--to", str(DAY), "--input", str(hostile_source), "--force"]
    flags += ["--output", str(tenant.output), "--ledger", f"{tenant.output}.sqlite", "--format", table_format]
    result = CliRunner().invoke(app, ["backfill", *flags])
    assert result.exit_code == 0, result.output
    assert places_naming(ERASED, tenant.output, temporary) == []
    ledger = b"".join(path.read_bytes() for path in tmp_path.glob("out.sqlite*"))
    for user in ERASED:
        assert user.encode() not in ledger
        assert user not in result.output
    published = read_tables(tenant.output, table_format=table_format)
    assert {row["user_id"] for row in published["messages"]} == set(KEPT)
    assert len(published["rejects"]) > 0


def test_erased_records_are_counted_as_an_independent_count_says(tmp_path: Path, hostile_source: Path) -> None:
    list_as_erased(storage_of(tmp_path / "out"), *ERASED)
    receipt = check_by_oracle(LocalRunner(), hostile_source, tmp_path / "out", ERASED)
    # Of each: four messages, a record with a surrogate, two versions of one, and three broken records.
    assert receipt.records.erased == 10 * len(ERASED)
    check_sums(receipt)
    alone = write_export(tmp_path / "alone", hostile_records(KEPT))
    without = run_local(input=alone, output=tmp_path / "alone-out")
    assert replace(receipt.records, erased=0, seen=without.records.seen) == without.records


def test_compressed_exports_and_arrays_are_searched_as_well(tmp_path: Path, hostile_source: Path) -> None:
    source = as_gzip(hostile_source, tmp_path / "in")
    list_as_erased(storage_of(tmp_path / "out"), *ERASED)
    receipt = check_by_oracle(LocalRunner(), source, tmp_path / "out", ERASED, memory_bytes=2**26)
    assert receipt.records.erased > 10 * len(ERASED)
    assert places_naming(ERASED, tmp_path / "out") == []


def test_both_runners_leave_out_the_same(tmp_path: Path, hostile_source: Path, spark: Any) -> None:
    source = as_gzip(hostile_source, tmp_path / "in")
    for name in ("local", "spark"):
        list_as_erased(storage_of(tmp_path / name), *ERASED)
    local = check_by_oracle(LocalRunner(), source, tmp_path / "local", ERASED)
    on_spark = check_by_oracle(SparkRunner(spark), source, tmp_path / "spark", ERASED)
    assert on_spark.records == local.records
    assert places_naming(ERASED, tmp_path / "spark") == []


def test_objects_in_an_erased_users_folder_are_not_read(tmp_path: Path) -> None:
    source = write_objects(tmp_path / "in", ("carol", "dave", "佐藤 花子"))
    folder = source / "acme/chat/carol/room9/messages/2025/08/12"
    folder.mkdir(parents=True)
    (folder / "05-00-00.000Z-broken.json.gz").write_bytes(b"carol's, and no gzip")
    list_as_erased(storage_of(tmp_path / "out"), "carol")
    receipt = check_by_oracle(LocalRunner(), source, tmp_path / "out", ("carol",))
    # Her three messages and the broken object; and in Dave's folder a message whose body names her.
    assert (receipt.objects.erased, receipt.objects.unreadable, receipt.records.erased) == (4, 0, 1)
    assert files_containing(tmp_path / "out", "carol") == []


@pytest.mark.parametrize("layout", ["messages", "export"])
def test_rooms_are_left_out_of_either_layout(tmp_path: Path, layout: str) -> None:
    users = ("carol", "dave")
    export = write_export(
        tmp_path / "export", [json.dumps({**message(u, n), "room_id": f"room{n}"}) for u in users for n in range(3)]
    )
    source = export if layout == "export" else write_objects(tmp_path / "in", users)
    list_as_erased(storage_of(tmp_path / "out"), "room1", kind="room")
    receipt = run_local(input=source, output=tmp_path / "out")
    assert (receipt.records.erased, receipt.objects.erased) == ((2, 0) if layout == "export" else (0, 2))
    assert {row["room_id"] for row in read_tables(tmp_path / "out")["messages"]} == {"room0", "room2"} - (
        set() if layout == "export" else {"room0"}
    )
    assert files_containing(tmp_path / "out", "room1") == []


def test_bytes_that_may_be_an_erased_users_are_withheld(tmp_path: Path) -> None:
    records: list[str | bytes] = [json.dumps(message("carol", 1)), '{"content": "' + "x" * 300]
    source = write_export(tmp_path / "in", records)
    (source / "acme/exports/messages/2025/08/12/part-1.gz").write_bytes(gzip.compress(b"carol " * 99)[:-9])
    list_as_erased(storage_of(tmp_path / "out"), "carol")
    receipt = run_local(input=source, output=tmp_path / "out", max_raw_bytes=100)
    assert (receipt.records.erased, receipt.records.rejected, receipt.objects.unreadable) == (1, 1, 1)
    assert [(row["raw"], row["raw_truncated"]) for row in read_tables(tmp_path / "out")["rejects"]] == [(b"", True)] * 2


def test_erasure_that_was_interrupted_is_not_undone_and_resumes(
    small_source: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = publish(small_source)

    def fail(*_: object, **__: object) -> None:
        raise LeaseHeldError("killed", next_step="-")

    with monkeypatch.context() as patch:
        patch.setattr(erase_module, "rewrite_day", fail)
        with pytest.raises(LeaseHeldError):
            tenant.erase("user", "user_1")
    result = tenant.dispatch().run(tenant.request(small_source), progress=silent, if_changed=True)
    assert result.receipt and result.receipt.records.erased == 10
    assert {row["user_id"] for row in read_tables(tenant.output)["messages"]} == {"user_10"}
    assert tenant.erase("user", "user_1").state == "done"
    assert places_naming(["user_1"], tenant.root) == []
    assert len(read_list(tenant.tables.open(), "acme")) == 1


def test_run_listed_before_the_erasure_does_not_publish_the_person(
    tmp_path: Path, small_source: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = publish(small_source)
    shutil.copytree(small_source, tmp_path / "in")
    more = tmp_path / "in/acme/exports/messages/2025/08/12/part-1.jsonl"
    more.write_text(json.dumps(message("user_2", 1)) + "\n")
    dispatch = tenant.dispatch()
    listed = type(dispatch)._list_completed

    def erase_after_listing(*arguments: Any) -> Any:
        manifest = listed(*arguments)
        tenant.erase("user", "user_2")  # of whom nothing is published yet
        return manifest

    monkeypatch.setattr(type(dispatch), "_list_completed", erase_after_listing)
    result = dispatch.run(tenant.request(tmp_path / "in"), progress=silent, if_changed=True)
    assert result.receipt and result.receipt.records.erased == 1
    assert places_naming(["user_2"], tenant.output) == []


def test_concurrent_erasures_do_not_lose_each_other(tmp_path: Path) -> None:
    storage = storage_of(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: list_as_erased(storage, f"user{n}", name=f"e{n}"), range(24)))
    erased = read_erased(storage, "acme")
    assert all(erased.holds("user", f"user{n}") for n in range(24))
    assert not erased.holds("room", "user1")
    assert (len(erased.users), erased.holds("user", "user24")) == (24, False)


@pytest.mark.parametrize("broken", ["key", "e1.json"])
def test_damaged_list_stops_every_run(tmp_path: Path, small_source: Path, broken: str) -> None:
    list_as_erased(storage_of(tmp_path / "out"), "user_1")
    (tmp_path / "out/acme/analytics/_erased" / broken).write_text("{")
    with pytest.raises(TerminalError, match="the list of erased ids is damaged") as error:
        run_local(input=small_source, output=tmp_path / "out")
    assert "tenant=acme day=2025-08-12" in str(error.value)
    assert "restore the folder _erased from a backup" in str(error.value)


def test_missing_key_stops_every_run(tmp_path: Path, small_source: Path) -> None:
    list_as_erased(storage_of(tmp_path / "out"), "user_1")
    (tmp_path / "out/acme/analytics/_erased/key").unlink()
    with pytest.raises(TerminalError, match="key is missing"):
        run_local(input=small_source, output=tmp_path / "out")


def invoke(tenant: Tenant, *arguments: str, stdin: str | None = None) -> Any:
    flags = ["--tenant", "acme", "--output", str(tenant.output)]
    flags += ["--ledger", f"{tenant.output}.sqlite"] if arguments[0] == "erase" else []
    result = CliRunner().invoke(app, [*arguments, *flags, "--json"], input=stdin)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_many_ids_are_erased_in_one_pass_listed_and_lifted(
    tmp_path: Path, hostile_source: Path, publish: Publish
) -> None:
    tenant = publish(hostile_source)
    ids = tmp_path / "ids.txt"
    ids.write_text("50%_off\r\n佐藤 花子\n\n", encoding="utf-8")
    done = invoke(tenant, "erase", "--user", "user_1", "--user", "user-1", "--users", str(ids), "--confirm")
    assert (done["evidence"]["ids"], done["evidence"]["days"][0]["tables"]["messages"]["removed"]) == (4, 24)
    assert files_containing(tenant.root, "佐藤 花子") == files_containing(tenant.root, "user-1") == []
    second = invoke(tenant, "erase", "--users", "-", "--confirm", stdin="50xoff\n")["evidence"]["erasure"]
    # Erasures of one second are listed in any order.
    (first, last) = sorted(invoke(tenant, "erasures")["erasures"], key=lambda row: row["erasure"] == second)
    assert (first["ids"], last["ids"], last["erasure"]) == (4, 1, second)
    assert invoke(tenant, "erasures", "--user", "50xoff")["erasures"] == [last]
    assert invoke(tenant, "erasures", "--user", "nobody")["erasures"] == []
    lift = ("erasures", "--lift", first["erasure"], "--user", "user_1")
    assert invoke(tenant, *lift)["lifted"] is False
    assert invoke(tenant, *lift, "--confirm")["lifted"] is True
    assert sorted(row["ids"] for row in invoke(tenant, "erasures")["erasures"]) == [1, 3]
    tenant.run(hostile_source)
    users = {row["user_id"] for row in read_tables(tenant.output)["messages"]}
    assert users == set(HOSTILE) - {"user-1", "50%_off", "佐藤 花子", "50xoff"}


def test_lifted_id_can_be_erased_again(tmp_path: Path) -> None:
    storage = storage_of(tmp_path)
    store = storage.open_output()
    list_as_erased(storage, "carol")
    (entry,) = read_list(store, "acme")
    add_to_list(store, "acme", replace(entry, lifts=True))
    assert not read_erased(storage, "acme")
    list_as_erased(storage, "carol", name="e2")
    assert read_erased(storage, "acme").holds("user", "carol")
    assert make_key(store, "acme") == read_erased(storage, "acme").key
    assert isinstance(entry, ListedErasure)


@pytest.mark.parametrize("layout", ["messages", "export"])
def test_generated_day_agrees_with_the_oracle_for_a_third_of_its_users(
    tmp_path: Path, layout: Literal["messages", "export"]
) -> None:
    rates = FaultRates.parse("rich,unreadable=0")
    generate(
        messages=2_000, layout=layout, seed=5, out=tmp_path / "in", rates=rates, files=3 if layout == "export" else 0
    )
    (tmp_path / "in/acme-truth.json").unlink()
    run_local(input=tmp_path / "in", output=tmp_path / "first")
    every = sorted({row["user_id"] for row in read_tables(tmp_path / "first")["messages"] if row["user_id"]})
    erased = every[::3]
    list_as_erased(storage_of(tmp_path / "out"), *erased)
    receipt = check_by_oracle(LocalRunner(), tmp_path / "in", tmp_path / "out", erased)
    assert receipt.records.erased + receipt.objects.erased > 300
    assert {row["user_id"] for row in read_tables(tmp_path / "out")["messages"]} - {None} == set(every) - set(erased)

"""One tenant-day from request to receipt: what is refused before publication, and the content of the receipt."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from obstore.store import LocalStore

from daily_batch.domain.contract import MESSAGES, REJECTS, TURNS
from daily_batch.domain.receipt import Receipt, receipt_key, to_json
from daily_batch.errors import TerminalError
from daily_batch.pipeline.publish.receipts import read_receipt
from daily_batch.pipeline.runners.base import RunResult
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.pipeline.transform.outcomes import Counts
from tests.support.day_runs import DAY, SAMPLES, published_state, read_tables, run_day_with, run_local


@dataclass
class MiscountingRunner:
    """A local runner with a defect in its counts."""

    defect: Callable[[RunResult], RunResult]
    name: str = "local"

    def run(self, *args: Any, **kwargs: Any) -> RunResult:
        return self.defect(LocalRunner().run(*args, **kwargs))


def miscount(**offsets: int) -> Callable[[RunResult], RunResult]:
    def defect(result: RunResult) -> RunResult:
        values = {name: value + offsets.get(name, 0) for name, value in integer_counts(result).items()}
        return replace(result, counts=replace(result.counts, **values))

    return defect


def integer_counts(result: RunResult) -> dict[str, int]:
    return {name: value for name, value in vars(result.counts).items() if isinstance(value, int)}


def without_files(table: str) -> Callable[[RunResult], RunResult]:
    return lambda result: replace(result, files={**result.files, table: ()})


DEFECTS = {
    "a record that is not counted": miscount(seen=-1),
    "a record that became nothing": miscount(seen=1),
    "a row too few": miscount(written=1, seen=1),
    "an object that is not accounted for": miscount(objects_read=-1),
    "a rejected record without a reason": miscount(rejected=1, seen=1),
    "messages that were not written": without_files(MESSAGES.name),
    "turns that were not written": without_files(TURNS.name),
    "rejects that were not written": without_files(REJECTS.name),
}


@pytest.mark.parametrize("table_format", ["delta", "parquet"])
@pytest.mark.parametrize("defect", DEFECTS.values(), ids=DEFECTS)
def test_failed_sums_exit_with_3_and_publish_nothing(
    tmp_path: Path, defect: Callable[[RunResult], RunResult], table_format: str
) -> None:
    run_local(input=SAMPLES, output=tmp_path, tenant="globex", table_format=table_format)
    before = published_state(tmp_path, tenant="globex")
    with pytest.raises(TerminalError, match="tenant=globex day=2025-08-12") as caught:
        run_day_with(
            MiscountingRunner(defect), input=SAMPLES, output=tmp_path, tenant="globex", table_format=table_format
        )
    assert caught.value.exit_code == 3
    assert published_state(tmp_path, tenant="globex") == before


def test_too_many_rejects_exit_with_3_and_publish_nothing(tmp_path: Path) -> None:
    first = run_local(input=SAMPLES, output=tmp_path)
    before = published_state(tmp_path)
    ratio = first.records.rejected / first.records.seen
    with pytest.raises(TerminalError, match="max_reject_ratio") as caught:
        run_local(input=SAMPLES, output=tmp_path, max_reject_ratio=ratio - 0.001)
    assert caught.value.exit_code == 3
    assert published_state(tmp_path) == before
    assert run_local(input=SAMPLES, output=tmp_path, max_reject_ratio=ratio + 0.001).records == first.records


def test_receipt_is_stored_beside_the_tables(tmp_path: Path) -> None:
    receipt = run_local(input=SAMPLES, output=tmp_path)
    file = tmp_path / f"acme/analytics/_receipts/{DAY}/{receipt.run_id}.json"
    assert json.loads(file.read_text()) == json.loads(to_json(receipt))
    assert read_receipt(LocalStore(tmp_path), receipt_key("acme", DAY, receipt.run_id)) == receipt


@pytest.mark.parametrize(("tenant", "layout"), [("acme", "messages"), ("globex", "export")])
def test_layout_is_detected_from_the_objects(tmp_path: Path, tenant: str, layout: str) -> None:
    assert run_local(input=SAMPLES, output=tmp_path, tenant=tenant).layout == layout


def test_requested_layout_without_objects_is_an_empty_day(tmp_path: Path) -> None:
    receipt = run_local(input=SAMPLES, output=tmp_path, tenant="globex", layout="messages")
    assert (receipt.status, receipt.records.seen) == ("COMPLETED", 0)


def test_fingerprint_depends_only_on_the_input(tmp_path: Path) -> None:
    def run(tenant: str, **more: Any) -> Receipt:
        return run_local(input=SAMPLES, output=tmp_path, tenant=tenant, **more)

    assert run("acme").fingerprint == run("acme", buckets=3, table_format="parquet").fingerprint
    assert run("acme").fingerprint != run("globex").fingerprint


def test_day_of_another_zone_holds_other_messages(tmp_path: Path) -> None:
    run_local(input=SAMPLES, output=tmp_path / "jst")
    run_local(input=SAMPLES, output=tmp_path / "utc", timezone="UTC")
    jst, utc = (
        {row["message_id"]: row for row in read_tables(tmp_path / zone)[MESSAGES.name]} for zone in ("jst", "utc")
    )
    assert {row["timestamp"].astimezone().date() for row in utc.values()} == {DAY}
    assert jst.keys() != utc.keys()
    shared = jst.keys() & utc.keys()
    assert shared
    assert {(jst[each]["hour"] - utc[each]["hour"]) % 24 for each in shared} == {9}


def test_counts_survive_json() -> None:
    assert Counts.from_dict(json.loads(json.dumps(Counts(seen=3).to_dict()))) == Counts(seen=3)

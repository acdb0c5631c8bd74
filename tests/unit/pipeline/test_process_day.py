"""One tenant-day from request to receipt: what is refused before readers see anything, and what the receipt says."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from obstore.store import LocalStore

from daily_batch.domain.contract import MESSAGES, REJECTS
from daily_batch.domain.receipt import Receipt, receipt_key, to_json
from daily_batch.errors import TerminalError
from daily_batch.pipeline.publish.receipts import read_receipt
from daily_batch.pipeline.runners.base import RunResult
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.pipeline.transform.outcomes import Counts
from tests.support.day_runs import DAY, SAMPLES, published_state, read_tables, run_day_with, run_local


@dataclass
class Miscounting:
    """The local runner, with a defect in what it counts."""

    defect: Callable[[RunResult], RunResult]
    name: str = "local"

    def run(self, *args: Any, **kwargs: Any) -> RunResult:
        return self.defect(LocalRunner().run(*args, **kwargs))


def counting(**wrong: int) -> Callable[[RunResult], RunResult]:
    def defect(outcome: RunResult) -> RunResult:
        values = {name: value + wrong.get(name, 0) for name, value in asdict_counts(outcome).items()}
        return replace(outcome, counts=replace(outcome.counts, **values))

    return defect


def asdict_counts(outcome: RunResult) -> dict[str, int]:
    return {name: value for name, value in vars(outcome.counts).items() if isinstance(value, int)}


def without_files(table: str) -> Callable[[RunResult], RunResult]:
    return lambda outcome: replace(outcome, files={**outcome.files, table: ()})


DEFECTS = {
    "a record that is not counted": counting(seen=-1),
    "a record that became nothing": counting(seen=1),
    "a row too few": counting(written=1, seen=1),
    "an object that is not accounted for": counting(objects_read=-1),
    "a rejected record without a reason": counting(rejected=1, seen=1),
    "messages that were not written": without_files(MESSAGES.name),
    "rejects that were not written": without_files(REJECTS.name),
}


@pytest.mark.parametrize("table_format", ["delta", "parquet"])
@pytest.mark.parametrize("defect", DEFECTS.values(), ids=DEFECTS)
def test_failed_sums_exit_with_3_and_publish_nothing(
    tmp_path: Path, defect: Callable[[RunResult], RunResult], table_format: str
) -> None:
    run_local(input=SAMPLES, output=tmp_path, tenant="globex", table_format=table_format)
    shown = published_state(tmp_path, tenant="globex")
    with pytest.raises(TerminalError, match="tenant=globex day=2025-08-12") as failure:
        run_day_with(Miscounting(defect), input=SAMPLES, output=tmp_path, tenant="globex", table_format=table_format)
    assert failure.value.exit_code == 3
    assert published_state(tmp_path, tenant="globex") == shown


def test_too_many_rejects_exit_with_3_and_publish_nothing(tmp_path: Path) -> None:
    first = run_local(input=SAMPLES, output=tmp_path)
    shown = published_state(tmp_path)
    share = first.records.rejected / first.records.seen
    with pytest.raises(TerminalError, match="max_reject_ratio") as failure:
        run_local(input=SAMPLES, output=tmp_path, max_reject_ratio=share - 0.001)
    assert failure.value.exit_code == 3
    assert published_state(tmp_path) == shown
    assert run_local(input=SAMPLES, output=tmp_path, max_reject_ratio=share + 0.001).records == first.records


def test_receipt_is_stored_beside_the_tables(tmp_path: Path) -> None:
    receipt = run_local(input=SAMPLES, output=tmp_path)
    stored = tmp_path / f"acme/analytics/_receipts/{DAY}/{receipt.run_id}.json"
    assert json.loads(stored.read_text()) == json.loads(to_json(receipt))
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


def test_a_day_of_another_zone_holds_other_messages(tmp_path: Path) -> None:
    run_local(input=SAMPLES, output=tmp_path / "jst")
    run_local(input=SAMPLES, output=tmp_path / "utc", timezone="UTC")
    jst, utc = (
        {row["message_id"]: row for row in read_tables(tmp_path / zone)[MESSAGES.name]} for zone in ("jst", "utc")
    )
    assert {row["timestamp"].astimezone().date() for row in utc.values()} == {DAY}
    assert jst.keys() != utc.keys()
    both = jst.keys() & utc.keys()
    assert both
    assert {(jst[each]["hour"] - utc[each]["hour"]) % 24 for each in both} == {9}


def test_counts_survive_json() -> None:
    assert Counts.from_dict(json.loads(json.dumps(Counts(seen=3).to_dict()))) == Counts(seen=3)

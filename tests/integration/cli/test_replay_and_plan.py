"""The commands plan and replay: what a run would do, and rejects that are accepted now."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.adversarial_day import EXPORT, ROOM, line, packed, raw_line
from tests.support.command_runs import invoke_json
from tests.support.day_runs import DAY, published_state, read_tables, run_arguments

# Ratios mean nothing for a day of two records.
NO_LIMITS = {"MAKOTO_MAX_REJECT_RATIO": "1", "MAKOTO_MAX_UNREADABLE_RATIO": "1"}


def invoke(*arguments: str, **environment: str) -> tuple[int, Any]:
    return invoke_json(*arguments, **{**NO_LIMITS, **environment})


def write_object(root: Path, key: str, body: bytes) -> None:
    path = root / "in" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)


def flags(root: Path) -> list[str]:
    return run_arguments(input=root / "in", output=root / "out")


def replay(root: Path, *more: str, **environment: str) -> tuple[int, Any]:
    return invoke("replay", *flags(root), *more, **environment)


LONG = raw_line('"x": "' + "y" * 2_000 + '"', message_id="long")


@pytest.fixture
def rejected_day(tmp_path: Path) -> Path:
    """Run a day under too strict a limit; one of its two rejects is invalid under any limit."""
    write_object(tmp_path, f"{EXPORT}/part-0.jsonl.gz", packed(line() + b"\n" + LONG + b"\n{broken\n"))
    assert invoke("run", *flags(tmp_path), MAKOTO_MAX_RECORD_BYTES="1000")[0] == 0
    assert [row["reason"] for row in read_tables(tmp_path / "out")["rejects"]] == ["record_too_large", "invalid_json"]
    return tmp_path


def test_replay_reruns_a_day_whose_rejects_are_accepted_now(rejected_day: Path) -> None:
    code, output = replay(rejected_day)
    assert code == 0
    trials = {trial["reason"]: (trial["rejects"], trial["tried"], trial["accepted"]) for trial in output["rejects"]}
    assert trials == {"invalid_json": (1, 1, 0), "record_too_large": (1, 1, 1)}
    assert output["receipt"]["records"]["written"] == 2
    tables = read_tables(rejected_day / "out")
    assert sorted(row["message_id"] for row in tables["messages"]) == ["long", "m1"]
    assert [row["reason"] for row in tables["rejects"]] == ["invalid_json"]


def test_a_dry_replay_publishes_nothing(rejected_day: Path) -> None:
    state = published_state(rejected_day / "out")
    code, output = replay(rejected_day, "--dry-run")
    assert (code, output["receipt"]) == (0, None)
    assert sum(trial["accepted"] for trial in output["rejects"]) == 1
    assert published_state(rejected_day / "out") == state


def test_replay_runs_nothing_if_all_records_are_rejected_again(rejected_day: Path) -> None:
    state = published_state(rejected_day / "out")
    code, output = replay(rejected_day, MAKOTO_MAX_RECORD_BYTES="1000")
    assert (code, output["receipt"]) == (0, None)
    assert [trial["accepted"] for trial in output["rejects"]] == [0, 0]
    assert published_state(rejected_day / "out") == state


def test_replay_refuses_a_day_whose_objects_are_gone(rejected_day: Path) -> None:
    write_object(rejected_day, f"{EXPORT}/part-1.jsonl", line(message_id="m2"))
    (rejected_day / "in" / f"{EXPORT}/part-0.jsonl.gz").unlink()
    state = published_state(rejected_day / "out")
    code, stderr = replay(rejected_day)
    assert code == 3
    assert "no longer those of run" in stderr
    assert published_state(rejected_day / "out") == state


def test_replay_of_a_day_that_never_ran_is_an_error(tmp_path: Path) -> None:
    write_object(tmp_path, f"{EXPORT}/part-0.jsonl", line())
    code, stderr = replay(tmp_path)
    assert code == 3
    assert "tenant=acme day=2025-08-12" in stderr
    assert "no completed run" in stderr


@pytest.mark.parametrize("table_format", ["delta", "parquet"])
def test_replay_of_message_objects_keeps_the_ids_of_their_keys(tmp_path: Path, table_format: str) -> None:
    write_object(
        tmp_path,
        f"{ROOM}/2025/08/12/01-02-03.500Z-m1.json.gz",
        packed(raw_line('"x": "' + "y" * 2_000 + '"', user_id=...)),
    )
    arguments = run_arguments(input=tmp_path / "in", output=tmp_path / "out", table_format=table_format)
    assert invoke("run", *arguments, MAKOTO_MAX_RECORD_BYTES="1000")[0] == 0
    code, output = invoke("replay", *arguments)
    assert (code, [trial["accepted"] for trial in output["rejects"]]) == (0, [1])
    (row,) = read_tables(tmp_path / "out", table_format=table_format)["messages"]
    assert (row["user_id"], row["message_id"]) == ("u1", "m1")


def test_replay_skips_a_truncated_record(tmp_path: Path) -> None:
    write_object(tmp_path, f"{EXPORT}/part-0.jsonl", line() + b"\n" + LONG)
    invoke("run", *flags(tmp_path), MAKOTO_MAX_RECORD_BYTES="1000", MAKOTO_MAX_RAW_BYTES="100")
    _, output = replay(tmp_path, "--dry-run")
    assert output["rejects"] == [{"reason": "record_too_large", "rejects": 1, "tried": 0, "accepted": 0}]


# Plan


def plan(root: Path, *more: str, **environment: str) -> Any:
    locations = ("--input", str(root / "in"), "--output", str(root / "out"))
    code, output = invoke("plan", "--tenant", "acme", "--date", DAY.isoformat(), *locations, *more, **environment)
    assert code == 0
    return output


def test_a_plan_describes_the_input_and_writes_nothing(tmp_path: Path) -> None:
    write_object(tmp_path, f"{EXPORT}/part-0.jsonl", line())
    planned = plan(tmp_path)
    assert (planned["layout"], planned["objects"], planned["bytes"]) == ("export", 1, len(line()))
    assert (planned["runner"], planned["ledger"]) == ("local", "never run")
    assert planned["reasons"]
    assert not (tmp_path / "out").exists()


def test_a_plan_reports_whether_the_day_changed_since_its_run(tmp_path: Path) -> None:
    write_object(tmp_path, f"{EXPORT}/part-0.jsonl", line())
    _, output = invoke("run", *flags(tmp_path))
    (receipt,) = output["receipts"]
    assert plan(tmp_path)["ledger"].startswith(f"unchanged since run {receipt['run_id']}")
    assert plan(tmp_path)["fingerprint"] == receipt["fingerprint"]
    write_object(tmp_path, f"{EXPORT}/part-1.jsonl", line(message_id="m2"))
    assert plan(tmp_path)["ledger"].startswith(f"changed since run {receipt['run_id']}")


def test_thresholds_and_the_runner_flag_change_the_route(tmp_path: Path) -> None:
    for number in range(3):
        write_object(tmp_path, f"{ROOM}/2025/08/12/01-02-03.500Z-m{number}.json", line(message_id=f"m{number}"))
    assert plan(tmp_path)["runner"] == "local"
    routed = plan(tmp_path, MAKOTO_LARGE_MESSAGES="2")
    assert routed["runner"] == "spark"
    assert "more than large_messages 2" in " ".join(routed["reasons"])
    assert plan(tmp_path, "--runner", "spark")["runner"] == "spark"
    assert plan(tmp_path, "--runner", "local", MAKOTO_LARGE_MESSAGES="2")["runner"] == "local"


def test_a_plan_predicts_the_cost_per_host_if_requested(tmp_path: Path) -> None:
    write_object(tmp_path, f"{EXPORT}/part-0.jsonl", line())
    assert "cost" not in plan(tmp_path)
    costs = {each["host"]: each for each in plan(tmp_path, "--cost")["cost"]}
    assert list(costs) == ["Lambda", "EMR Serverless", "Azure Functions", "Databricks"]
    assert 0 < costs["Lambda"]["usd_day"] < costs["EMR Serverless"]["usd_day"]
    assert costs["Databricks"]["usd_day"] is None
    assert "not predicted" in " ".join(costs["Databricks"]["notes"])


def test_a_plan_names_rooms_missing_from_the_metadata_store(tmp_path: Path) -> None:
    write_object(tmp_path, f"{ROOM}/2025/08/12/01-02-03.500Z-m1.json", line())
    discovery = plan(tmp_path, "--verify-discovery")["discovery"]
    assert discovery["missed"] == [{"room": "acme/chat/u1/r1", "objects": 1}]
    assert (discovery["listing"]["rooms"], discovery["metadata"]["rooms"]) == (1, 0)

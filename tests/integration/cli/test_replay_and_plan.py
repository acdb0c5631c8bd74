"""What a plan promises, and what a replay of rejects finds and mends."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from daily_batch.cli import app
from tests.support.adversarial_day import EXPORT, ROOM, line, packed, raw_line
from tests.support.day_runs import DAY, published_state, read_tables, run_arguments

# Of two records one is no share of a day.
NO_LIMITS = {"MAKOTO_MAX_REJECT_RATIO": "1", "MAKOTO_MAX_UNREADABLE_RATIO": "1"}


def call(*words: str, **environment: str) -> tuple[int, Any]:
    answer = CliRunner(env={**NO_LIMITS, **environment}).invoke(app, [*words, "--json"])
    return answer.exit_code, json.loads(answer.stdout) if answer.stdout else answer.stderr


def place(root: Path, key: str, body: bytes) -> None:
    path = root / "in" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)


def flags(root: Path) -> list[str]:
    return run_arguments(input=root / "in", output=root / "out")


def replay_flags(root: Path) -> list[str]:
    return ["replay", *flags(root)]


LONG = raw_line('"x": "' + "y" * 2_000 + '"', message_id="long")


@pytest.fixture
def rejecting(tmp_path: Path) -> Path:
    """A day that was run under a rule too strict, with a reject that no rule mends."""
    place(tmp_path, f"{EXPORT}/part-0.jsonl.gz", packed(line() + b"\n" + LONG + b"\n{broken\n"))
    assert call("run", *flags(tmp_path), MAKOTO_MAX_RECORD_BYTES="1000")[0] == 0
    assert [row["reason"] for row in read_tables(tmp_path / "out")["rejects"]] == ["record_too_large", "invalid_json"]
    return tmp_path


def test_replay_reruns_a_day_whose_rejects_are_accepted_now(rejecting: Path) -> None:
    code, told = call(*replay_flags(rejecting))
    assert code == 0
    found = {trial["reason"]: (trial["rejects"], trial["tried"], trial["accepted"]) for trial in told["rejects"]}
    assert found == {"invalid_json": (1, 1, 0), "record_too_large": (1, 1, 1)}
    assert told["receipt"]["records"]["written"] == 2
    tables = read_tables(rejecting / "out")
    assert sorted(row["message_id"] for row in tables["messages"]) == ["long", "m1"]
    assert [row["reason"] for row in tables["rejects"]] == ["invalid_json"]


def test_a_dry_replay_publishes_nothing(rejecting: Path) -> None:
    state = published_state(rejecting / "out")
    code, told = call(*replay_flags(rejecting), "--dry-run")
    assert (code, told["receipt"]) == (0, None)
    assert sum(trial["accepted"] for trial in told["rejects"]) == 1
    assert published_state(rejecting / "out") == state


def test_replay_runs_nothing_if_all_records_are_rejected_again(rejecting: Path) -> None:
    state = published_state(rejecting / "out")
    code, told = call(*replay_flags(rejecting), MAKOTO_MAX_RECORD_BYTES="1000")
    assert (code, told["receipt"]) == (0, None)
    assert [trial["accepted"] for trial in told["rejects"]] == [0, 0]
    assert published_state(rejecting / "out") == state


def test_replay_refuses_a_day_whose_objects_are_gone(rejecting: Path) -> None:
    place(rejecting, f"{EXPORT}/part-1.jsonl", line(message_id="m2"))
    (rejecting / "in" / f"{EXPORT}/part-0.jsonl.gz").unlink()
    state = published_state(rejecting / "out")
    code, told = call(*replay_flags(rejecting))
    assert code == 3
    assert "no longer those of run" in told
    assert published_state(rejecting / "out") == state


def test_replay_of_a_day_that_never_ran_is_an_error(tmp_path: Path) -> None:
    place(tmp_path, f"{EXPORT}/part-0.jsonl", line())
    code, told = call(*replay_flags(tmp_path))
    assert code == 3
    assert "tenant=acme day=2025-08-12" in told
    assert "no completed run" in told


@pytest.mark.parametrize("table_format", ["delta", "parquet"])
def test_replay_of_message_objects_keeps_the_ids_of_their_keys(tmp_path: Path, table_format: str) -> None:
    place(
        tmp_path,
        f"{ROOM}/2025/08/12/01-02-03.500Z-m1.json.gz",
        packed(raw_line('"x": "' + "y" * 2_000 + '"', user_id=...)),
    )
    formats = ("--format", table_format)
    arguments = ["--tenant", "acme", "--date", DAY.isoformat(), *formats]
    arguments += ["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out")]
    assert call("run", *arguments, MAKOTO_MAX_RECORD_BYTES="1000")[0] == 0
    code, told = call("replay", *arguments)
    assert (code, [trial["accepted"] for trial in told["rejects"]]) == (0, [1])
    (row,) = read_tables(tmp_path / "out", table_format=table_format)["messages"]
    assert (row["user_id"], row["message_id"]) == ("u1", "m1")


def test_replay_skips_a_truncated_record(tmp_path: Path) -> None:
    place(tmp_path, f"{EXPORT}/part-0.jsonl", line() + b"\n" + LONG)
    call("run", *flags(tmp_path), MAKOTO_MAX_RECORD_BYTES="1000", MAKOTO_MAX_RAW_BYTES="100")
    _, told = call(*replay_flags(tmp_path), "--dry-run")
    assert told["rejects"] == [{"reason": "record_too_large", "rejects": 1, "tried": 0, "accepted": 0}]


# plan


def plan(root: Path, *more: str, **environment: str) -> Any:
    words = ("--tenant", "acme", "--date", DAY.isoformat(), "--input", str(root / "in"), "--output", str(root / "out"))
    code, told = call("plan", *words, *more, **environment)
    assert code == 0
    return told


def test_a_plan_describes_the_input_and_writes_nothing(tmp_path: Path) -> None:
    place(tmp_path, f"{EXPORT}/part-0.jsonl", line())
    told = plan(tmp_path)
    assert (told["layout"], told["objects"], told["bytes"]) == ("export", 1, len(line()))
    assert (told["runner"], told["ledger"]) == ("local", "never run")
    assert told["reasons"]
    assert not (tmp_path / "out").exists()


def test_a_plan_reports_whether_the_day_changed_since_its_run(tmp_path: Path) -> None:
    place(tmp_path, f"{EXPORT}/part-0.jsonl", line())
    _, receipt = call("run", *flags(tmp_path))
    assert plan(tmp_path)["ledger"].startswith(f"unchanged since run {receipt['run_id']}")
    assert plan(tmp_path)["fingerprint"] == receipt["fingerprint"]
    place(tmp_path, f"{EXPORT}/part-1.jsonl", line(message_id="m2"))
    assert plan(tmp_path)["ledger"].startswith(f"changed since run {receipt['run_id']}")


def test_thresholds_and_the_runner_flag_change_the_route(tmp_path: Path) -> None:
    for number in range(3):
        place(tmp_path, f"{ROOM}/2025/08/12/01-02-03.500Z-m{number}.json", line(message_id=f"m{number}"))
    assert plan(tmp_path)["runner"] == "local"
    beyond = plan(tmp_path, MAKOTO_LARGE_MESSAGES="2")
    assert beyond["runner"] == "spark"
    assert "more than large_messages 2" in " ".join(beyond["reasons"])
    assert plan(tmp_path, "--runner", "spark")["runner"] == "spark"
    assert plan(tmp_path, "--runner", "local", MAKOTO_LARGE_MESSAGES="2")["runner"] == "local"


def test_a_plan_predicts_the_cost_per_host_if_requested(tmp_path: Path) -> None:
    place(tmp_path, f"{EXPORT}/part-0.jsonl", line())
    assert "cost" not in plan(tmp_path)
    told = {each["host"]: each for each in plan(tmp_path, "--cost")["cost"]}
    assert list(told) == ["Lambda", "EMR Serverless", "Azure Functions", "Databricks"]
    assert 0 < told["Lambda"]["usd_day"] < told["EMR Serverless"]["usd_day"]
    assert told["Databricks"]["usd_day"] is None
    assert "not predicted" in " ".join(told["Databricks"]["notes"])


def test_a_plan_names_rooms_missing_from_the_metadata_store(tmp_path: Path) -> None:
    place(tmp_path, f"{ROOM}/2025/08/12/01-02-03.500Z-m1.json", line())
    told = plan(tmp_path, "--verify-discovery")["discovery"]
    assert told["missed"] == [{"room": "acme/chat/u1/r1", "objects": 1}]
    assert (told["listing"]["rooms"], told["metadata"]["rooms"]) == (1, 0)

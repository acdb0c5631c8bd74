"""Test a submitted Spark job: exit status, receipt and tables, and an output without message content."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from daily_batch.domain.contract import TABLES
from tests.support.day_runs import (
    DAY,
    ROOT,
    SAMPLES,
    child_environment,
    published_state,
    read_tables,
    run_arguments,
    run_local,
)
from tests.support.spark_session import LOCAL_CONF

pytestmark = [pytest.mark.each_spark, pytest.mark.long]
SUBMIT = [str(Path(sys.executable).with_name("spark-submit")), "--properties-file", str(LOCAL_CONF)]
JOB = [*SUBMIT, "jobs/daily_messages.py"]
MARKER = "xyzzy-never-in-a-log"
NO_LIMITS = {"MAKOTO_MAX_REJECT_RATIO": "1", "MAKOTO_MAX_UNREADABLE_RATIO": "1"}


def submit(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*JOB, *arguments], cwd=ROOT, env=child_environment(**environment), capture_output=True, text=True, timeout=240
    )


def test_submitted_day_equals_the_local_day_and_writes_a_receipt(tmp_path: Path) -> None:
    file = tmp_path / "receipts/receipt.json"
    rules = json.dumps({"max_naive_timestamp": 0, "tenants": {"acme": {"max_rejected": False}}})
    arguments = (*run_arguments(input="samples", output=tmp_path / "spark"), "--receipt", str(file), "--json")
    completed = submit(*arguments, MAKOTO_QUALITY=rules)
    assert completed.returncode == 0, completed.stderr[-3000:]
    (receipt,) = json.loads(file.read_text())["receipts"]
    # Standard output holds the answer and nothing else, although spark-submit merges a program's streams.
    assert json.loads(completed.stdout) == {"receipts": [receipt]}
    # Stages that end within two seconds show no progress.
    assert "tenant=acme day=2025-08-12 manifest: 321 objects" in completed.stderr
    assert "tenant=acme day=2025-08-12 publish: 6/6 tables" in completed.stderr
    assert_receipt_fields(receipt)
    assert (receipt["tenant"], receipt["date"], receipt["status"]) == ("acme", "2025-08-12", "COMPLETED_WITH_REJECTS")
    assert (receipt["runner"], receipt["format"], receipt["layout"]) == ("spark", "delta", "messages")
    assert (receipt["input"], receipt["output"]) == ("samples", str(tmp_path / "spark"))
    stored = tmp_path / f"spark/acme/analytics/_receipts/{DAY}/{receipt['run_id']}.json"
    assert json.loads(stored.read_text()) == receipt
    truth = json.loads((SAMPLES / "acme-truth.json").read_text())
    assert (receipt["records"], receipt["rejects"], receipt["flags"]) == (
        truth["records"],
        truth["rejects"],
        truth["flags"],
    )
    naive, unreadable = receipt["quality"]
    assert (naive["rule"], naive["severity"], naive["passed"]) == ("max_naive_timestamp", "warn", False)
    assert naive["measured"] == truth["flags"]["naive_timestamp"] / truth["records"]["written"]
    assert (unreadable["rule"], unreadable["passed"]) == ("max_unreadable", True)
    run_local(input=SAMPLES, output=tmp_path / "local")
    assert read_tables(tmp_path / "spark") == read_tables(tmp_path / "local")


def assert_receipt_fields(receipt: dict[str, Any]) -> None:
    """Assert that the receipt has exactly the documented fields, and that its counts add up."""
    assert list(receipt) == [
        *("tenant", "date", "run_id", "processed_at", "status", "runner", "format", "layout", "objects", "records"),
        *("rejects", "flags", "unknown_fields", "other_unknown_fields", "tables", "seconds", "input", "output"),
        *("fingerprint", "quality"),
    ]
    objects, records, tables = receipt["objects"], receipt["records"], receipt["tables"]
    assert list(objects) == ["listed", "read", "unreadable", "ignored", "erased", "bytes"]
    assert list(records) == ["seen", "written", "duplicates", "superseded", "rejected", "other_day", "empty", "erased"]
    assert set(tables) == {table.name for table in TABLES}
    for counts in (objects, records, receipt["rejects"], receipt["flags"]):
        assert {type(count) for count in counts.values()} <= {int}
    for table in tables.values():
        assert {name: type(value) for name, value in table.items()} == dict.fromkeys(
            ("rows", "files", "bytes", "version"), int
        )
    assert list(receipt["seconds"]) == ["manifest", "intake", "clean", "publish", "total"]
    assert objects["listed"] == objects["read"] + objects["unreadable"] + objects["ignored"]
    assert records["seen"] == sum(count for name, count in records.items() if name != "seen")
    assert tables["messages"]["rows"] == records["written"]


@pytest.fixture
def marked_input(tmp_path: Path) -> Path:
    """Write an input in which every record and object contains the marker, whether or not it can be parsed."""
    good = {"message_id": "m", "room_id": "r", "user_id": "u", "role": "user", "timestamp": "2025-08-12T03:00:00Z"}
    records: list[Any] = [
        {**good, "content": MARKER},
        {**good, "content": f"{MARKER}, edited", "timestamp": "2025-08-12T03:00:01Z"},
        {**good, "message_id": "extra", MARKER: {MARKER: MARKER}},
        {**good, "message_id": "type", "content": [MARKER], "attachments": [MARKER], "agent_info": MARKER},
        {**good, "message_id": [MARKER]},
        {**good, "message_id": f"{MARKER}\0"},
        {**good, "message_id": "time", "timestamp": MARKER},
        {**good, "message_id": "tenant", "tenant_id": MARKER},
        {**good, "message_id": "role", "role": MARKER},
        MARKER,
    ]
    lines = [json.dumps(record).encode() for record in records]
    duplicate_key = b'{"message_id": "k", "%b": 1, "%b": 2}' % (MARKER.encode(), MARKER.encode())
    truncated = b'{"content": "%b' % MARKER.encode()
    lines += [
        duplicate_key,
        lines[0] + MARKER.encode(),
        lines[0].replace(b'"user"', b"\xff"),
        lines[0].replace(b": ", b": \\ud800"),
        truncated,
    ]
    folder = tmp_path / f"marked/acme/exports/messages/{DAY:%Y/%m/%d}"
    folder.mkdir(parents=True)
    (folder / "a.jsonl").write_bytes(b"\n".join(lines))
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(lines[0] * 99)[:-9])
    (folder / "c.jsonl.gz").write_bytes(MARKER.encode())
    (folder / "d.jsonl").write_bytes(b"\xff\xfe" + MARKER.encode())
    return tmp_path / "marked"


def test_job_output_contains_no_message_content(marked_input: Path, tmp_path: Path) -> None:
    completed = submit(*run_arguments(input=marked_input, output=tmp_path / "out"), "--debug", **NO_LIMITS)
    assert completed.returncode == 0, completed.stderr[-3000:]
    assert "rejects" in completed.stdout
    assert MARKER not in completed.stdout + completed.stderr
    (receipt,) = (tmp_path / "out/acme/analytics/_receipts").rglob("*.json")
    assert MARKER not in receipt.read_text()


def test_failed_job_output_contains_no_message_content(marked_input: Path, tmp_path: Path) -> None:
    before = published_state(tmp_path / "out")
    completed = submit(
        *run_arguments(input=marked_input, output=tmp_path / "out"),
        "--debug",
        **NO_LIMITS | {"MAKOTO_MAX_REJECT_RATIO": "0.01"},
    )
    assert completed.returncode == 3
    assert completed.stdout == ""
    assert "tenant=acme day=2025-08-12" in completed.stderr
    assert "max_reject_ratio" in completed.stderr
    assert MARKER not in completed.stdout + completed.stderr
    assert published_state(tmp_path / "out") == before == {}


@pytest.mark.parametrize(
    ("changed", "status", "text"),
    [
        ({"--tenant": "../acme"}, 2, "tenant"),
        ({"--date": "2025-13-45"}, 2, "day"),
        ({"--input": "missing-folder"}, 3, "does not exist"),
    ],
)
def test_exit_status_reports_the_kind_of_failure(
    tmp_path: Path, changed: dict[str, str], status: int, text: str
) -> None:
    arguments = run_arguments(input="samples", output=tmp_path)
    flags = {**dict(zip(arguments[::2], arguments[1::2], strict=True)), **changed}
    completed = submit(*(word for flag in flags.items() for word in flag))
    errors = [line for line in completed.stderr.splitlines() if line.startswith("error: ")]
    assert (completed.returncode, completed.stdout, len(errors)) == (status, "", 1), completed.stderr[-2000:]
    assert text in errors[0]
    assert "Next step: " in errors[0]

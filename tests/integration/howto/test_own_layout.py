"""docs/howto/own-layout.md: its settings, its conversion and its commands give the tables that it promises."""

import csv
import re
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from tests.support.day_runs import ROOT, SAMPLES, child_environment, read_tables

PAGE = (ROOT / "docs/howto/own-layout.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^ {4}(?:\$ )?makoto-batch (.+)$", PAGE, re.MULTILINE)
MESSAGES = (
    ("m1", "u1", "r1", "2025-08-11 15:00:00", "false", "hello", ""),
    ("m2", "bot", "r1", "2025-08-12 14:59:59.5", "true", "こんにちは", "12"),
    ("m3", "u1", "r1", "2025-08-12 15:00:00", "false", "of the next day", ""),
)


def run_command(line: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "daily_batch", *shlex.split(line)],
        cwd=folder,
        env=child_environment(PYTHONPATH=str(ROOT / "jobs")),
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_an_export_in_a_folder_of_the_settings_is_read(tmp_path: Path) -> None:
    (setting,) = re.findall(r"^ {4}(export_template = .+)$", PAGE, re.MULTILINE)
    (command,) = (each for each in COMMANDS if "--conf" in each)
    (tmp_path / "my-conf").mkdir()
    (tmp_path / "my-conf/defaults.toml").write_text(setting)
    shutil.copytree(SAMPLES / "globex/exports/messages/2025/08/12", tmp_path / "in/acme/dump/2025-08-12")
    finished = run_command(command, tmp_path)
    assert finished.returncode == 0, finished.stderr
    rows = read_tables(tmp_path / "out")["messages"]
    assert len(rows) > 10
    assert all(row["source_key"].startswith("acme/dump/2025-08-12/") for row in rows)


def test_a_converted_day_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (query,) = re.findall(r"^```sql\n(.+?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    with (tmp_path / "chat.csv").open("w", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [("id", "sender", "channel", "sent", "is_bot", "text", "tokens"), *MESSAGES],
        )
    (tmp_path / "in/acme/exports/messages/2025/08/12").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    duckdb.connect().execute(query)
    (plan,) = (each for each in COMMANDS if each.startswith("plan"))
    planned = run_command(plan, tmp_path)
    assert planned.returncode == 0, planned.stderr
    finished = run_command("run --tenant acme --date 2025-08-12 --input in --output out", tmp_path)
    assert finished.returncode == 0, finished.stderr
    tables = read_tables(tmp_path / "out")
    assert tables["rejects"] == []
    names = ("message_id", "user_id", "room_id", "timestamp", "role", "content", "tokens_used", "extras", "flags")
    assert [tuple(row[name] for name in names) for row in sorted(tables["messages"], key=lambda row: row["hour"])] == [
        ("m1", "u1", "r1", datetime(2025, 8, 11, 15, tzinfo=UTC), "user", "hello", None, None, []),
        (
            *("m2", "bot", "r1", datetime(2025, 8, 12, 14, 59, 59, 500000, tzinfo=UTC)),
            *("assistant", "こんにちは", 12, None, []),
        ),
    ]

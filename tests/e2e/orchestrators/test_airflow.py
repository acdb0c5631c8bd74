"""docs/examples/airflow_dag.py and airflow_day_ready.py in Airflow itself, run by its own command."""

import os
import sqlite3
import subprocess
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daily_batch.ledger import Ledger
from daily_batch.metadata.sqlite import SqliteStore
from tests.support.day_runs import DAY, ROOT, SAMPLES, child_environment, read_tables, run_local
from tests.support.orchestrators import install

pytestmark = pytest.mark.long
EXAMPLE = ROOT / "docs/examples/airflow_dag.py"
SENSOR = ROOT / "docs/examples/airflow_day_ready.py"
TENANTS = ["acme", "globex", "nobody"]


@pytest.fixture
def airflow(tmp_path: Path) -> dict[str, str]:
    """The environment of an Airflow with the example, for other tenants and with shorter delays."""
    text = EXAMPLE.read_text(encoding="utf-8")
    for words, others in {
        '["acme", "globex"]': str(TENANTS),
        "timedelta(minutes=3)": "timedelta(seconds=1)",
        "timedelta(minutes=10)": "timedelta(seconds=1)",
    }.items():
        assert text.count(words) == 1
        text = text.replace(words, others)
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags/airflow_dag.py").write_text(text, encoding="utf-8")
    return child_environment(
        AIRFLOW_HOME=str(tmp_path),
        AIRFLOW__CORE__LOAD_EXAMPLES="false",
        PATH=f"{install()}:{os.environ['PATH']}",
        PYTHONPATH=str(ROOT / "jobs"),
        MAKOTO_INPUT=str(SAMPLES),
        MAKOTO_OUTPUT=str(tmp_path / "out"),
    )


def call(airflow: Mapping[str, str], *words: str) -> str:
    answer = subprocess.run(["airflow", *words], env=dict(airflow), capture_output=True, text=True, timeout=300)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def read_tasks(home: Path) -> dict[str, tuple[str, int]]:
    """The state and the number of tries of each tenant's task."""
    with sqlite3.connect(home / "airflow.db", timeout=60) as database:
        rows = database.execute("SELECT map_index, state, try_number FROM task_instance WHERE map_index >= 0")
        return {TENANTS[number]: (state, tries) for number, state, tries in rows}


def test_days_are_published_retried_or_failed_as_the_error_says(airflow: dict[str, str], tmp_path: Path) -> None:
    call(airflow, "db", "migrate")
    ledger = Ledger(
        store=SqliteStore(tmp_path / "out/makoto-ledger.sqlite"),
        clock=lambda: datetime.now(UTC),
        lease=timedelta(hours=1),
    )
    lease = ledger.acquire("globex", DAY, owner="another host", run_id="held")
    # The data interval ends at this moment, and starts on the day before.
    words = ["airflow", "dags", "test", "makoto_daily_batch", "2025-08-13T02:00:00+09:00"]
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen(words, env=airflow, stdout=log, stderr=log)
        try:
            while read_tasks(tmp_path).get("globex", ("", 0))[0] != "up_for_retry":
                assert running.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.2)
            ledger.fail(lease, "stopped", retryable=True)
            running.wait(timeout=300)
        finally:
            running.kill()
    tasks = read_tasks(tmp_path)
    assert tasks["acme"] == ("success", 1)
    assert tasks["globex"][0] == "success" and tasks["globex"][1] > 1
    assert tasks["nobody"] == ("failed", 1)
    for tenant, rows in (("acme", 282), ("globex", 556)):
        assert len(read_tables(tmp_path / "out", tenant=tenant)["messages"]) == rows


def test_sensor_waits_for_the_receipt_of_each_tenant(airflow: dict[str, str], tmp_path: Path) -> None:
    text = SENSOR.read_text(encoding="utf-8")
    assert text.count("poke_interval=300") == text.count('"reschedule"') == 1
    text = text.replace("poke_interval=300", "poke_interval=1").replace('"reschedule"', '"poke"')
    (tmp_path / "dags/airflow_day_ready.py").write_text(text, encoding="utf-8")
    call(airflow, "db", "migrate")
    run_local(input=SAMPLES, output=tmp_path / "out", tenant="acme")
    words = ["airflow", "dags", "test", "after_makoto_daily_batch", "2025-08-13T02:00:00+09:00"]
    log = tmp_path / "log"
    with log.open("wb") as stream:
        running = subprocess.Popen(words, env=airflow, stdout=stream, stderr=stream)
        try:
            # `dags test` runs one task at a time: acme's, then globex's, which has no receipt yet.
            while log.read_text().count("Poking callable") < 3:
                assert running.poll() is None, log.read_text()
                time.sleep(0.2)
            receipt = run_local(input=SAMPLES, output=tmp_path / "out", tenant="globex")
            assert running.wait(timeout=300) == 0, log.read_text()
        finally:
            running.kill()
    assert f"globex {DAY} {receipt.run_id}" in log.read_text()
    with sqlite3.connect(tmp_path / "airflow.db", timeout=60) as database:
        rows = database.execute("SELECT task_id, state FROM task_instance").fetchall()
    assert sorted(rows) == [("read_day", "success")] * 2 + [("wait_for_day", "success")] * 2

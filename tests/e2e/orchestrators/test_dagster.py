"""docs/examples/dagster_assets.py in Dagster itself."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.day_runs import ROOT, SAMPLES, child_environment, read_tables
from tests.support.orchestrators import install

pytestmark = pytest.mark.long
MOMENT = "2025-08-13T02:00:00+09:00"


def test_days_are_published_retried_or_failed_as_the_error_says(tmp_path: Path) -> None:
    program = ["tests/support/dagster_run.py", str(ROOT / "docs/examples"), MOMENT]
    answer = subprocess.run(
        [str(install() / "python"), *program],
        cwd=ROOT,
        env=child_environment(
            PYTHONPATH=str(ROOT / "jobs"),
            MAKOTO_INPUT=str(SAMPLES),
            MAKOTO_OUTPUT=str(tmp_path),
        ),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout.splitlines()[-1])
    assert told["schedule"] == "0 2 * * *"
    assert sorted(told["requested"]) == ["2025-08-12|acme", "2025-08-12|globex"]
    outcomes = told["outcomes"]
    assert {tenant: (each["success"], each["retries"]) for tenant, each in outcomes.items()} == {
        "acme": (True, 0),
        "globex": (True, 1),
        "acme, wrong setting": (False, 0),
    }
    assert [round(seconds) for seconds in told["delays"]] == [600]
    assert outcomes["acme"]["metadata"]["status"] == "COMPLETED_WITH_REJECTS"
    for tenant in ("acme", "globex"):
        assert outcomes[tenant]["metadata"]["messages"] == len(read_tables(tmp_path, tenant=tenant)["messages"]) > 0

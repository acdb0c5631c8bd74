"""The settings that a submitter passes to a job."""

import ast
import pickle
from dataclasses import fields
from pathlib import Path
from typing import Any

from daily_batch.domain.calendar import parse_day
from daily_batch.domain.request import Request
from daily_batch.domain.run import Limits
from daily_batch.domain.url import parse_url
from daily_batch.orchestration.spark_jobs.base import SparkJob
from daily_batch.pipeline.audit import AuditLimits
from daily_batch.settings import Settings, load_settings
from daily_batch.settings.definition import DEFINITIONS
from tests.support.day_runs import ROOT


def test_settings_survive_pickling() -> None:
    settings = load_settings(flags={}, environ={"TENANT_ID": "acme"})
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_job_receives_explicit_settings_but_no_defaults() -> None:
    def passed(**environ: str) -> dict[str, Any]:
        return load_settings(flags={}, environ=environ).for_job(tenant="acme")

    assert passed(MAKOTO_CATALOG="main.chat") == {"catalog": "main.chat"}
    assert passed(MAKOTO_QUEUE_URL="q", COSMOS_KEY="k") == {}
    assert passed() == {}


LIBRARY = ROOT / "jobs/daily_batch"
# The code of a job and what it may import.
JOB_CODE = (
    *(LIBRARY / "entrypoints" / name for name in ("submitted_job.py", "smoke_test.py")),
    LIBRARY / "orchestration" / "requests.py",
    *(path for folder in ("pipeline", "catalog", "ledger", "metadata") for path in (LIBRARY / folder).rglob("*.py")),
)
NOT_PASSED = {
    "target_date_offset": "the job's arguments name the day",
    "spark": "a job runs on the Spark that it is in",
    "lease_seconds": "the submitter holds the lease",
    "cosmos_key": "a secret: a job has its own identity",
}


def read_settings(path: Path) -> set[str]:
    """Return the settings that a module reads: attributes of a name or attribute `settings`."""
    names = {each.name for each in fields(Settings)} | {"limits"}
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr in names:
            owner = node.value
            if getattr(owner, "id", None) == "settings" or getattr(owner, "attr", None) == "settings":
                found.add(node.attr)
    return found


def test_job_receives_exactly_the_settings_that_its_code_reads() -> None:
    used = {name for path in JOB_CODE for name in read_settings(path)} - {"limits"}
    used |= {each.name for kind in (Limits, AuditLimits) for each in fields(kind)}  # read by name
    location = parse_url("out")
    request = Request(tenant="acme", day=parse_day("2025-08-12"), input=location, output=location)
    arguments = SparkJob(request=request, run_id="1", token=1).parameters()
    passed_as_arguments = {{"tenant": "tenants", "format": "table_format"}.get(name, name) for name in arguments}
    assert used - passed_as_arguments - set(NOT_PASSED) == {each.name for each in DEFINITIONS if each.meta.job}
    assert set(NOT_PASSED) <= used


def test_read_settings_finds_attribute_accesses(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f(settings, self): return settings.due, self.settings.look_back, self.runner\n")
    assert read_settings(tmp_path / "a.py") == {"due", "look_back"}

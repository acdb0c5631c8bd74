"""The Databricks bundle: what its targets deploy, and that it matches the library that it runs."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from databricks.bundles.jobs import Job
from packaging.utils import canonicalize_name

from daily_batch.domain.request import Request
from daily_batch.domain.url import parse_url
from daily_batch.entrypoints.wheel_task import drop_empty
from daily_batch.orchestration.preflight import FOLDER, SMOKE_TENANT
from daily_batch.orchestration.spark_jobs.base import SparkJob
from daily_batch.settings import load_settings
from daily_batch.synthetic.write import SAMPLE_DAY
from makoto_packaging.project import ROOT, copy_sources
from tests.local_cloud.azure.databricks.bundle import CURRENT_USER, Document, merge, read_bundle, resolve_target
from tests.support.deployment.bundle_check import find_faults, find_references, iterate_texts

TARGETS = ("dev", "dev-serverless", "staging", "prod")
JOBS = ("daily_messages", "maintain_tables", "smoke")
BUNDLE = read_bundle(ROOT)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ARGUMENT = re.compile(r"--([a-z-]+)=(.*)")


def read_jobs(target: str = "prod") -> dict[str, Any]:
    """Return the jobs of a target."""
    jobs: dict[str, Any] = resolve_target(BUNDLE, target)["resources"]["jobs"]
    return jobs


def read_flags(job: Document, task: int = 0) -> dict[str, str]:
    """Return the flags of a task and their values."""
    found = [ARGUMENT.fullmatch(each) for each in job["tasks"][task]["python_wheel_task"]["parameters"]]
    return {match[1]: match[2] for match in found if match}


def test_bundle_has_no_fault_that_the_check_finds() -> None:
    assert tuple(BUNDLE["targets"]) == TARGETS
    assert find_faults(BUNDLE) == []


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", JOBS)
def test_databricks_sdk_classes_preserve_each_job(target: str, name: str) -> None:
    # The classes omit empty values, so variables that are empty by default get one.
    variables = {"notify": {"default": [CURRENT_USER]}, "environment_variables": {"default": {"MAKOTO_DUE": "05:00"}}}
    job = resolve_target(merge(BUNDLE, {"variables": variables}), target)["resources"]["jobs"][name]
    assert Job.from_dict(job).as_dict() == job


def test_every_variable_has_a_default_and_a_description() -> None:
    assert all("default" in variable and variable["description"] for variable in BUNDLE["variables"].values())
    references = {name for name in find_references(BUNDLE) if not name.startswith("var.")}
    assert references == {"bundle.name", "bundle.target", "workspace.current_user.userName"}


def test_bundle_contains_no_host_user_or_secret() -> None:
    text = "\n".join(iterate_texts(BUNDLE))
    assert not re.search(
        r"https?://|@[a-z0-9-]+\.[a-z]|dapi[0-9a-f]|[0-9a-f]{8}-[0-9a-f]{4}-",
        text.replace("abfss://container@account.dfs", ""),
    )
    assert "host" not in {name for target in BUNDLE["targets"].values() for name in target.get("workspace", {})}


def test_staging_and_prod_run_as_a_service_principal() -> None:
    for target in ("staging", "prod"):
        variables = {"service_principal": {"default": "app-id"}, "caller": {"default": "caller-id"}}
        resolved = resolve_target(merge(BUNDLE, {"variables": variables}), target)
        assert resolved["run_as"] == {"service_principal_name": "app-id"}
        assert resolved["workspace"]["root_path"] == f"/Workspace/Users/app-id/.bundle/makoto-daily-batch/{target}"
        levels = {
            each.get("service_principal_name") or each["group_name"]: each["level"] for each in resolved["permissions"]
        }
        assert levels == {"app-id": "CAN_MANAGE", "caller-id": "CAN_RUN", "users": "CAN_VIEW"}
    assert resolve_target(BUNDLE, "prod")["run_as"] == {"service_principal_name": CURRENT_USER}


def test_job_passes_the_submitted_parameters_to_its_task() -> None:
    request = Request(tenant="acme", day=date(2025, 8, 12), input=parse_url("in"), output=parse_url("out"))
    submitted = SparkJob(request=request, run_id="r", token=1).parameters()
    job = read_jobs()["daily_messages"]
    assert [each["name"] for each in job["parameters"]] == list(submitted)
    passed = {flag: text for flag, text in read_flags(job).items() if flag != "catalog"}
    assert passed == {name.replace("_", "-"): f"{{{{job.parameters.{name}}}}}" for name in submitted}


def test_manual_run_uses_the_default_settings() -> None:
    settings = load_settings(flags={}, environ={})
    defaults = {each["name"]: each["default"] for each in read_jobs()["daily_messages"]["parameters"]}
    assert tuple(defaults["tenant"].split(",")) == settings.tenants
    assert (defaults["layout"], defaults["format"]) == (settings.layout, settings.table_format)
    empty = [f"--{name.replace('_', '-')}={text}" for name, text in defaults.items()]
    assert drop_empty(empty) == ["--tenant=default_tenant", "--layout=auto", "--format=delta"]


def test_every_task_flag_exists_in_its_command() -> None:
    for name, job in read_jobs().items():
        for number, task in enumerate(job["tasks"]):
            entry = task["python_wheel_task"]["entry_point"]
            program = [sys.executable, "-c", f"import sys; {_call(entry)}"]
            flags = [f"--{flag}" for flag in read_flags(job, number)]
            commands = [each for each in task["python_wheel_task"]["parameters"] if not each.startswith("--")]
            command = [*program, *commands, "--help"]
            help_text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
            assert [flag for flag in flags if not re.search(rf"{flag}\b", help_text)] == [], name


def _call(entry: str) -> str:
    module, _, function = PROJECT["scripts"][entry].partition(":")
    return f"from {module} import {function}; {function}()"


def test_run_timeout_equals_the_ledgers_job_timeout() -> None:
    settings = load_settings(flags={}, environ={})
    assert read_jobs()["daily_messages"]["timeout_seconds"] == settings.job_timeout_minutes * 60


def test_smoke_job_processes_the_day_its_first_task_writes() -> None:
    job = read_jobs()["smoke"]
    day = read_flags(job, 1)
    output = "{{job.parameters.output}}"
    assert (day["tenant"], day["date"]) == (SMOKE_TENANT, SAMPLE_DAY.isoformat())
    assert (day["input"], day["output"]) == (f"{output}/{FOLDER}/input", f"{output}/{FOLDER}/tables")
    assert job["tasks"][1]["depends_on"] == [{"task_key": job["tasks"][0]["task_key"]}]


def test_maintenance_vacuums_even_if_optimize_fails() -> None:
    job = read_jobs()["maintain_tables"]
    tasks = [(task["task_key"], task["python_wheel_task"]["parameters"][0]) for task in job["tasks"]]
    assert tasks == [("optimize", "optimize"), ("vacuum", "vacuum")]
    assert (job["tasks"][1]["depends_on"], job["tasks"][1]["run_if"]) == ([{"task_key": "optimize"}], "ALL_DONE")
    assert job["schedule"]["timezone_id"] == load_settings(flags={}, environ={}).timezone


@pytest.mark.parametrize("target", TARGETS)
def test_task_libraries_are_the_wheel_and_pinned_extras(target: str) -> None:
    extras = PROJECT["optional-dependencies"]
    pins = [*extras["cli"], *(line for line in extras["azure"] if line.startswith("azure-identity="))]
    for job in read_jobs(target).values():
        for task in job["tasks"]:
            if "environment_key" in task:
                listed = job["environments"][0]["spec"]["dependencies"]
            else:
                listed = [each.get("whl") or each["pypi"]["package"] for each in task["libraries"]]
            assert listed[0] == "./dist/*.whl"
            assert sorted(listed[1:]) == sorted(pins)


def test_only_the_serverless_target_has_no_job_cluster() -> None:
    for target in TARGETS:
        for job in read_jobs(target).values():
            assert ("environments" in job, "job_clusters" in job) == (
                (target == "dev-serverless"),
                (target != "dev-serverless"),
            )
    cluster = read_jobs()["daily_messages"]["job_clusters"][0]["new_cluster"]
    assert cluster["data_security_mode"] == "SINGLE_USER"
    assert cluster["autoscale"] == {"min_workers": 1, "max_workers": 8}


def test_only_the_wheel_is_uploaded_to_the_workspace() -> None:
    assert BUNDLE["sync"] == {"paths": []}


def test_build_command_makes_a_wheel_with_all_entry_points(tmp_path: Path) -> None:
    copy_sources(tmp_path)
    for stale in ("build/lib/daily_batch/removed.py", "dist/makoto_daily_batch-0.0.1-py3-none-any.whl"):
        (tmp_path / stale).parent.mkdir(parents=True)
        (tmp_path / stale).touch()
    build = BUNDLE["artifacts"]["wheel"]["build"].replace("python3", sys.executable)
    subprocess.run(build, shell=True, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    (wheel,) = tmp_path.glob("dist/*.whl")
    with zipfile.ZipFile(wheel) as packed:
        (entry_points,) = [name for name in packed.namelist() if name.endswith("entry_points.txt")]
        scripts = packed.read(entry_points).decode()
        assert "daily_batch/removed.py" not in packed.namelist()
    for job in read_jobs().values():
        for task in job["tasks"]:
            wheel_task = task["python_wheel_task"]
            assert canonicalize_name(wheel_task["package_name"]) == canonicalize_name(PROJECT["name"])
            assert f"{wheel_task['entry_point']} = {PROJECT['scripts'][wheel_task['entry_point']]}" in scripts
    shutil.rmtree(tmp_path)


def _daily_job(document: Document) -> Document:
    job: Document = document["resources"]["jobs"]["daily_messages"]
    return job


def _prod_job(document: Document) -> Document:
    job: Document = document["targets"]["prod"]["resources"]["jobs"]["daily_messages"]
    return job


MISTAKES: dict[str, Callable[[Document], object]] = {
    "an unknown key at the top": lambda document: document.update(jobs={}),
    "an unknown key in a target": lambda document: document["targets"]["dev"].update(host="x"),
    "an unknown key in sync": lambda document: document["sync"].update(excludes=[]),
    "an unknown key in an artifact": lambda document: document["artifacts"]["wheel"].update(command="x"),
    "an unknown preset": lambda document: document["targets"]["dev"]["presets"].update(prefix="x"),
    "an unknown mode": lambda document: document["targets"]["dev"].update(mode="debug"),
    "an unknown level": lambda document: document["targets"]["prod"]["permissions"][0].update(level="CAN_MANAGE_RUN"),
    "production without run_as": lambda document: document["targets"]["prod"].pop("run_as"),
    "production without a root of its own": lambda document: document["targets"]["prod"]["workspace"].clear(),
    "an unknown key in a job": lambda document: _daily_job(document).update(timeout=1),
    "text instead of a number": lambda document: _daily_job(document).update(timeout_seconds="long"),
    "an unknown metric": lambda document: _daily_job(document)["health"]["rules"][0].update(metric="RUN_DURATION"),
    "an unknown operator": lambda document: _daily_job(document)["health"]["rules"][0].update(op="ABOVE"),
    "an unknown key in a cluster": lambda document: _prod_job(document)["job_clusters"][0]["new_cluster"].update(
        node_type="x"
    ),
    "an unknown security mode": lambda document: _prod_job(document)["job_clusters"][0]["new_cluster"].update(
        data_security_mode="X"
    ),
    "an unknown cluster": lambda document: _prod_job(document)["tasks"][0].update(job_cluster_key="other"),
    "a task without compute": lambda document: _prod_job(document)["tasks"][0].pop("job_cluster_key"),
    "a task with two kinds of compute": lambda document: _prod_job(document)["tasks"][0].update(
        environment_key="batch"
    ),
    "an unknown variable": lambda document: _daily_job(document).update(description="${var.nothing}"),
    "an unused variable": lambda document: document["variables"].update(nothing={"default": ""}),
    "an unused parameter": lambda document: _daily_job(document)["parameters"].append({"name": "x", "default": ""}),
    "an undeclared parameter": lambda document: _daily_job(document)["parameters"].pop(),
    "a parameter without a default": lambda document: _daily_job(document)["parameters"][0].pop("default"),
    "an unknown dependency": lambda document: document["resources"]["jobs"]["smoke"]["tasks"][1].update(
        depends_on=[{"task_key": "nothing"}]
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_check_finds_each_mistake(mistake: str) -> None:
    document = deepcopy(BUNDLE)
    MISTAKES[mistake](document)
    assert find_faults(document) != []

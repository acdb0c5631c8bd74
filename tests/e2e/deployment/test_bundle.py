"""The Databricks bundle: what its targets deploy, and that it agrees with the library that it runs."""

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
from tests.local_cloud.azure.databricks.bundle import PERSON, Document, merge, read_bundle, resolve_target
from tests.support.deployment.bundle_check import find_faults, find_references, iterate_texts

TARGETS = ("dev", "dev-serverless", "staging", "prod")
JOBS = ("daily_messages", "maintain_tables", "smoke")
BUNDLE = read_bundle(ROOT)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ARGUMENT = re.compile(r"--([a-z-]+)=(.*)")


def resolved(target: str = "prod") -> dict[str, Any]:
    """The jobs of a target."""
    jobs: dict[str, Any] = resolve_target(BUNDLE, target)["resources"]["jobs"]
    return jobs


def arguments(job: Document, task: int = 0) -> dict[str, str]:
    """A task's flags and what they are given."""
    found = [ARGUMENT.fullmatch(each) for each in job["tasks"][task]["python_wheel_task"]["parameters"]]
    return {match[1]: match[2] for match in found if match}


def test_the_bundle_has_no_fault_that_can_be_found_here() -> None:
    assert tuple(BUNDLE["targets"]) == TARGETS
    assert find_faults(BUNDLE) == []


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", JOBS)
def test_databricks_own_classes_hold_each_job_whole(target: str, name: str) -> None:
    # What is empty is left out by the classes.
    said = {"notify": {"default": [PERSON]}, "environment_variables": {"default": {"MAKOTO_DUE": "05:00"}}}
    job = resolve_target(merge(BUNDLE, {"variables": said}), target)["resources"]["jobs"][name]
    assert Job.from_dict(job).as_dict() == job


def test_a_workspace_can_say_its_own_values_and_needs_to_say_none() -> None:
    assert all("default" in variable and variable["description"] for variable in BUNDLE["variables"].values())
    outside = {name for name in find_references(BUNDLE) if not name.startswith("var.")}
    assert outside == {"bundle.name", "bundle.target", "workspace.current_user.userName"}


def test_no_host_person_or_secret_is_written_down() -> None:
    said = "\n".join(iterate_texts(BUNDLE))
    assert not re.search(
        r"https?://|@[a-z0-9-]+\.[a-z]|dapi[0-9a-f]|[0-9a-f]{8}-[0-9a-f]{4}-",
        said.replace("abfss://container@account.dfs", ""),
    )
    assert "host" not in {name for target in BUNDLE["targets"].values() for name in target.get("workspace", {})}


def test_staging_and_prod_run_as_a_service_principal_that_anyone_else_may_only_start_or_watch() -> None:
    for target in ("staging", "prod"):
        given = {"service_principal": {"default": "app-id"}, "caller": {"default": "caller-id"}}
        whole = resolve_target(merge(BUNDLE, {"variables": given}), target)
        assert whole["run_as"] == {"service_principal_name": "app-id"}
        assert whole["workspace"]["root_path"] == f"/Workspace/Users/app-id/.bundle/makoto-daily-batch/{target}"
        who = {each.get("service_principal_name") or each["group_name"]: each["level"] for each in whole["permissions"]}
        assert who == {"app-id": "CAN_MANAGE", "caller-id": "CAN_RUN", "users": "CAN_VIEW"}
    assert resolve_target(BUNDLE, "prod")["run_as"] == {"service_principal_name": PERSON}


def test_the_job_is_told_what_the_submitter_tells_it_and_passes_it_on() -> None:
    request = Request(tenant="acme", day=date(2025, 8, 12), input=parse_url("in"), output=parse_url("out"))
    asked = SparkJob(request=request, run_id="r", token=1).parameters()
    job = resolved()["daily_messages"]
    assert [each["name"] for each in job["parameters"]] == list(asked)
    passed = {flag: text for flag, text in arguments(job).items() if flag != "catalog"}
    assert passed == {name.replace("_", "-"): f"{{{{job.parameters.{name}}}}}" for name in asked}


def test_a_run_by_hand_is_told_the_settings_own_defaults() -> None:
    settings = load_settings(flags={}, environ={})
    defaults = {each["name"]: each["default"] for each in resolved()["daily_messages"]["parameters"]}
    assert tuple(defaults["tenant"].split(",")) == settings.tenants
    assert (defaults["layout"], defaults["format"]) == (settings.layout, settings.table_format)
    empty = [f"--{name.replace('_', '-')}={text}" for name, text in defaults.items()]
    assert drop_empty(empty) == ["--tenant=default_tenant", "--layout=auto", "--format=delta"]


def test_every_flag_of_a_task_is_one_of_its_command() -> None:
    for name, job in resolved().items():
        for number, task in enumerate(job["tasks"]):
            entry = task["python_wheel_task"]["entry_point"]
            program = [sys.executable, "-c", f"import sys; {_call(entry)}"]
            given = [f"--{flag}" for flag in arguments(job, number)]
            commands = [each for each in task["python_wheel_task"]["parameters"] if not each.startswith("--")]
            asked = [*program, *commands, "--help"]
            said = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60).stdout
            assert [flag for flag in given if not re.search(rf"{flag}\b", said)] == [], name


def _call(entry: str) -> str:
    module, _, function = PROJECT["scripts"][entry].partition(":")
    return f"from {module} import {function}; {function}()"


def test_the_service_ends_a_run_when_the_ledger_counts_it_as_ended() -> None:
    settings = load_settings(flags={}, environ={})
    assert resolved()["daily_messages"]["timeout_seconds"] == settings.job_timeout_minutes * 60


def test_the_smoke_job_runs_the_day_that_its_first_task_lays_down() -> None:
    job = resolved()["smoke"]
    day = arguments(job, 1)
    output = "{{job.parameters.output}}"
    assert (day["tenant"], day["date"]) == (SMOKE_TENANT, SAMPLE_DAY.isoformat())
    assert (day["input"], day["output"]) == (f"{output}/{FOLDER}/input", f"{output}/{FOLDER}/tables")
    assert job["tasks"][1]["depends_on"] == [{"task_key": job["tasks"][0]["task_key"]}]


def test_the_maintenance_compacts_first_and_sweeps_even_where_that_failed() -> None:
    job = resolved()["maintain_tables"]
    tasks = [(task["task_key"], task["python_wheel_task"]["parameters"][0]) for task in job["tasks"]]
    assert tasks == [("optimize", "optimize"), ("vacuum", "vacuum")]
    assert (job["tasks"][1]["depends_on"], job["tasks"][1]["run_if"]) == ([{"task_key": "optimize"}], "ALL_DONE")
    assert job["schedule"]["timezone_id"] == load_settings(flags={}, environ={}).timezone


@pytest.mark.parametrize("target", TARGETS)
def test_a_cluster_gets_the_wheel_and_what_the_wheel_leaves_out_in_the_projects_versions(target: str) -> None:
    extras = PROJECT["optional-dependencies"]
    pins = [*extras["cli"], *(line for line in extras["azure"] if line.startswith("azure-identity="))]
    for job in resolved(target).values():
        for task in job["tasks"]:
            if "environment_key" in task:
                listed = job["environments"][0]["spec"]["dependencies"]
            else:
                listed = [each.get("whl") or each["pypi"]["package"] for each in task["libraries"]]
            assert listed[0] == "./dist/*.whl"
            assert sorted(listed[1:]) == sorted(pins)


def test_serverless_has_no_cluster_and_the_rest_has_one_for_a_single_identity() -> None:
    for target in TARGETS:
        for job in resolved(target).values():
            assert ("environments" in job, "job_clusters" in job) == (
                (target == "dev-serverless"),
                (target != "dev-serverless"),
            )
    cluster = resolved()["daily_messages"]["job_clusters"][0]["new_cluster"]
    assert cluster["data_security_mode"] == "SINGLE_USER"
    assert cluster["autoscale"] == {"min_workers": 1, "max_workers": 8}


def test_nothing_but_the_wheel_goes_to_the_workspace() -> None:
    assert BUNDLE["sync"] == {"paths": []}


def test_the_artifacts_command_builds_a_wheel_with_the_tasks_entry_points(tmp_path: Path) -> None:
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
    for job in resolved().values():
        for task in job["tasks"]:
            called = task["python_wheel_task"]
            assert canonicalize_name(called["package_name"]) == canonicalize_name(PROJECT["name"])
            assert f"{called['entry_point']} = {PROJECT['scripts'][called['entry_point']]}" in scripts
    shutil.rmtree(tmp_path)


def _job(document: Document) -> Document:
    job: Document = document["resources"]["jobs"]["daily_messages"]
    return job


def _on_prod(document: Document) -> Document:
    job: Document = document["targets"]["prod"]["resources"]["jobs"]["daily_messages"]
    return job


MUTATIONS: dict[str, Callable[[Document], object]] = {
    "an unknown key at the top": lambda it: it.update(jobs={}),
    "an unknown key in a target": lambda it: it["targets"]["dev"].update(host="x"),
    "an unknown key in sync": lambda it: it["sync"].update(excludes=[]),
    "an unknown key in an artifact": lambda it: it["artifacts"]["wheel"].update(command="x"),
    "an unknown preset": lambda it: it["targets"]["dev"]["presets"].update(prefix="x"),
    "an unknown mode": lambda it: it["targets"]["dev"].update(mode="debug"),
    "an unknown level": lambda it: it["targets"]["prod"]["permissions"][0].update(level="CAN_MANAGE_RUN"),
    "production without run_as": lambda it: it["targets"]["prod"].pop("run_as"),
    "production without a root of its own": lambda it: it["targets"]["prod"]["workspace"].clear(),
    "an unknown key in a job": lambda it: _job(it).update(timeout=1),
    "a text for a number": lambda it: _job(it).update(timeout_seconds="long"),
    "an unknown metric": lambda it: _job(it)["health"]["rules"][0].update(metric="RUN_DURATION"),
    "an unknown operator": lambda it: _job(it)["health"]["rules"][0].update(op="ABOVE"),
    "a cluster's unknown key": lambda it: _on_prod(it)["job_clusters"][0]["new_cluster"].update(node_type="x"),
    "an unknown security mode": lambda it: _on_prod(it)["job_clusters"][0]["new_cluster"].update(
        data_security_mode="X"
    ),
    "a cluster that is not there": lambda it: _on_prod(it)["tasks"][0].update(job_cluster_key="other"),
    "a task without a place": lambda it: _on_prod(it)["tasks"][0].pop("job_cluster_key"),
    "a task in two places": lambda it: _on_prod(it)["tasks"][0].update(environment_key="batch"),
    "a variable that is not there": lambda it: _job(it).update(description="${var.nothing}"),
    "a variable that nothing uses": lambda it: it["variables"].update(nothing={"default": ""}),
    "a parameter that no task takes": lambda it: _job(it)["parameters"].append({"name": "x", "default": ""}),
    "a parameter that is not there": lambda it: _job(it)["parameters"].pop(),
    "a parameter without a default": lambda it: _job(it)["parameters"][0].pop("default"),
    "a task that waits for none": lambda it: it["resources"]["jobs"]["smoke"]["tasks"][1].update(
        depends_on=[{"task_key": "nothing"}]
    ),
}


@pytest.mark.parametrize("change", MUTATIONS)
def test_a_bundle_with_a_mistake_is_refused(change: str) -> None:
    document = deepcopy(BUNDLE)
    MUTATIONS[change](document)
    assert find_faults(document) != []

"""Check a databricks.yml without the Databricks CLI."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from databricks.bundles.jobs import Job

from tests.local_cloud.azure.databricks.bundle import Document, resolve_target

# The keys of `bundle/schema/jsonschema.json` in github.com/databricks/cli (August 2026) by path; no deprecated ones.
# The CLI warns of unknown keys, and fails with --strict.
TOP = {
    *("artifacts", "bundle", "experimental", "include", "permissions", "presets", "python", "resources", "run_as"),
    *("scripts", "sync", "targets", "variables", "workspace"),
}
TARGET = {
    *("artifacts", "bundle", "cluster_id", "default", "git", "mode", "permissions", "presets", "resources", "run_as"),
    *("sync", "variables", "workspace"),
}
KEYS: dict[str, set[str]] = {
    "bundle": {"cluster_id", "databricks_cli_version", "deployment", "engine", "git", "name", "uuid"},
    "artifacts.*": {"build", "dynamic_version", "executable", "files", "path", "type"},
    "variables.*": {"default", "description", "lookup", "type"},
    "sync": {"exclude", "include", "paths"},
    "run_as": {"group_name", "service_principal_name", "user_name"},
    "permissions.*": {"group_name", "level", "service_principal_name", "user_name"},
    "presets": {
        *("artifacts_dynamic_version", "jobs_max_concurrent_runs", "name_prefix", "pipelines_development"),
        *("source_linked_deployment", "tags", "trigger_pause_status"),
    },
    "workspace": {
        *("account_id", "artifact_path", "auth_type", "azure_client_id", "azure_environment", "azure_login_app_id"),
        *("azure_tenant_id", "azure_use_msi", "azure_workspace_resource_id", "client_id", "file_path", "host"),
        *("google_service_account", "profile", "resource_path", "root_path", "state_path", "workspace_id"),
    },
}
LEVELS = ("CAN_VIEW", "CAN_RUN", "CAN_MANAGE")
MODES = ("development", "production")
_REFERENCE = re.compile(r"\$\{([a-z_A-Z.]+)\}")
_PARAMETER = re.compile(r"\{\{job\.parameters\.([A-Za-z0-9_.-]+)\}\}")


def find_references(document: Any) -> set[str]:
    """Return every name between `${` and `}`."""
    return {name for text in iterate_texts(document) for name in _REFERENCE.findall(text)}


def find_faults(document: Document) -> list[str]:
    """Return what the CLI, the Jobs API or a run would refuse."""
    faults = [*_find_unknown_keys(document), *_find_unused(document)]
    for target, chosen in document["targets"].items():
        mode = chosen.get("mode")
        if mode not in MODES:
            faults.append(f"{target}: unknown mode {mode}")
        if mode == "production" and not ({"run_as"} <= chosen.keys() and "root_path" in chosen.get("workspace", {})):
            faults.append(f"{target}: production without a root_path and run_as of its own")
        try:
            resolved = resolve_target(document, target)
        except KeyError as error:
            faults.append(f"{target}: unknown reference {error}")
            continue
        levels = [each["level"] for each in resolved.get("permissions", [])]
        faults += [f"{target}: unknown level {level}" for level in levels if level not in LEVELS]
        for name, job in resolved["resources"]["jobs"].items():
            faults += [f"{target}.{name}: {fault}" for fault in _find_job_faults(job)]
    return faults


def iterate_texts(value: Any) -> Iterator[str]:
    """Yield every string of a document except keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from iterate_texts(part)


def _find_unknown_keys(document: Document) -> Iterator[str]:
    yield from (f"unknown key {name} at the top" for name in document.keys() - TOP)
    for target, chosen in document["targets"].items():
        yield from (f"unknown key {name} in target {target}" for name in chosen.keys() - TARGET)
    for part in (document, *document["targets"].values()):
        for path, keys in KEYS.items():
            name, _, each = path.partition(".")
            found = part.get(name) or {}
            members = (found.values() if isinstance(found, Mapping) else found) if each else [found]
            yield from (f"unknown key {key} in {path}" for member in members for key in member.keys() - keys)


def _find_unused(document: Document) -> Iterator[str]:
    used = find_references(document)
    yield from (f"variable {name} is unused" for name in document["variables"] if f"var.{name}" not in used)


def _find_job_faults(job: Any) -> Iterator[str]:
    try:
        Job.from_dict(job)
    except (ValueError, TypeError) as error:
        yield str(error)
        return
    computes = {
        "job_cluster_key": {each["job_cluster_key"] for each in job.get("job_clusters", [])},
        "environment_key": {each["environment_key"] for each in job.get("environments", [])},
    }
    tasks = {each["task_key"] for each in job["tasks"]}
    for task in job["tasks"]:
        chosen = [(name, task[name]) for name in computes if name in task]
        if len(chosen) != 1:
            yield f"task {task['task_key']} has {len(chosen)} kinds of compute"
        yield from (f"unknown {name} {key}" for name, key in chosen if key not in computes[name])
        dependencies = [each["task_key"] for each in task.get("depends_on", [])]
        yield from (f"unknown task {key}" for key in dependencies if key not in tasks)
    declared = {each["name"] for each in job["parameters"]}
    used = {name for text in iterate_texts(job["tasks"]) for name in _PARAMETER.findall(text)}
    yield from (f"undeclared parameter {name}" for name in used - declared)
    yield from (f"parameter {name} is used by no task" for name in declared - used)

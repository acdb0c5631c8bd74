"""Read databricks.yml as the Databricks CLI does: includes, target overrides and variables.

The bundle is the only source: none of its values is repeated here.
"""

import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from tests.local_cloud.common.downloads import ROOT

CURRENT_USER = "someone@example.com"
# Lists whose elements a target overrides by key.
_BY_KEY = {"tasks": "task_key", "job_clusters": "job_cluster_key", "environments": "environment_key"}
_REFERENCE = re.compile(r"\$\{([a-z_A-Z.]+)\}")

Document = dict[str, Any]


def read_bundle_job(key: str, *, target: str = "prod", variables: Mapping[str, Any] | None = None) -> Document:
    """Return a job's settings in jobs/create's format.

    Args:
        key: the job's key in the bundle's resources, such as `daily_messages`.
        target: the deployment target.
        variables: values that override the defaults.

    Raises:
        KeyError: the job, target or variable does not exist.
    """
    document = read_bundle(ROOT)
    overrides = {name: {"default": value} for name, value in (variables or {}).items()}
    bundle = resolve_target(merge(document, {"variables": overrides}), target)
    job: Document = bundle["resources"]["jobs"][key]
    return job


def read_bundle(root: Path) -> Document:
    """Return databricks.yml merged with its includes."""
    document: Document = yaml.safe_load((root / "databricks.yml").read_text())
    for pattern in document["include"]:
        for path in sorted(root.glob(pattern)):
            document = merge(document, yaml.safe_load(path.read_text()))
    return document


def merge(base: Any, override: Any, key: str = "") -> Any:
    """Merge mappings by key and the lists of `_BY_KEY` by element; append other lists and replace other values."""
    if isinstance(base, Mapping) and isinstance(override, Mapping):
        return {name: merge(base.get(name), override.get(name), name) for name in {**base, **override}}
    if isinstance(base, list) and isinstance(override, list) and key in _BY_KEY:
        name = _BY_KEY[key]
        found = {each[name]: each for each in base}
        return list((found | {each[name]: merge(found.get(each[name]), each) for each in override}).values())
    if isinstance(base, list) and isinstance(override, list):
        return [*base, *override]
    return deepcopy(base if override is None else override)


def resolve_target(document: Document, target: str) -> Document:
    """Return the document of a target with all references resolved.

    Raises:
        KeyError: a reference cannot be resolved.
    """
    chosen = document["targets"][target]
    merged = merge({name: part for name, part in document.items() if name != "targets"}, chosen)
    scope: Document = {
        "bundle": {"name": merged["bundle"]["name"], "target": target},
        "workspace": {"current_user": {"userName": CURRENT_USER}},
        "var": {name: variable["default"] for name, variable in merged.get("variables", {}).items()},
    }
    return {name: _resolve(part, scope) for name, part in merged.items() if name != "variables"}


def _resolve(value: Any, scope: Document) -> Any:
    if isinstance(value, Mapping):
        return {name: _resolve(part, scope) for name, part in value.items()}
    if isinstance(value, list):
        return [_resolve(part, scope) for part in value]
    if not isinstance(value, str):
        return value
    if reference := _REFERENCE.fullmatch(value):
        return _resolve(_lookup(reference[1], scope), scope)
    return _REFERENCE.sub(lambda found: str(_resolve(_lookup(found[1], scope), scope)), value)


def _lookup(path: str, scope: Any) -> Any:
    for name in path.split("."):
        if not isinstance(scope, Mapping) or name not in scope:
            raise KeyError(path)
        scope = scope[name]
    return scope

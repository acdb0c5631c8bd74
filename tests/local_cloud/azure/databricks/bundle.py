"""Read databricks.yml as the Databricks CLI does: includes, target overrides and variables.

The bundle stays the only source: no value of it is repeated here.
"""

import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from tests.local_cloud.common.downloads import ROOT

PERSON = "someone@example.com"
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


def merge(base: Any, over: Any, key: str = "") -> Any:
    """Merge mappings by key and the lists of `_BY_KEY` by element; append other lists and replace other values."""
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        return {name: merge(base.get(name), over.get(name), name) for name in {**base, **over}}
    if isinstance(base, list) and isinstance(over, list) and key in _BY_KEY:
        name = _BY_KEY[key]
        found = {each[name]: each for each in base}
        return list((found | {each[name]: merge(found.get(each[name]), each) for each in over}).values())
    if isinstance(base, list) and isinstance(over, list):
        return [*base, *over]
    return deepcopy(base if over is None else over)


def resolve_target(document: Document, target: str) -> Document:
    """Return the document of a target with all references resolved.

    Raises:
        KeyError: a reference cannot be resolved.
    """
    chosen = document["targets"][target]
    whole = merge({name: part for name, part in document.items() if name != "targets"}, chosen)
    known: Document = {
        "bundle": {"name": whole["bundle"]["name"], "target": target},
        "workspace": {"current_user": {"userName": PERSON}},
        "var": {name: variable["default"] for name, variable in whole.get("variables", {}).items()},
    }
    return {name: _resolve(part, known) for name, part in whole.items() if name != "variables"}


def _resolve(value: Any, known: Document) -> Any:
    if isinstance(value, Mapping):
        return {name: _resolve(part, known) for name, part in value.items()}
    if isinstance(value, list):
        return [_resolve(part, known) for part in value]
    if not isinstance(value, str):
        return value
    if whole := _REFERENCE.fullmatch(value):
        return _resolve(_lookup(whole[1], known), known)
    return _REFERENCE.sub(lambda found: str(_resolve(_lookup(found[1], known), known)), value)


def _lookup(path: str, known: Any) -> Any:
    for name in path.split("."):
        if not isinstance(known, Mapping) or name not in known:
            raise KeyError(path)
        known = known[name]
    return known

"""databricks.yml, read as the CLI reads it: includes, a target's overrides, variables; and a job as it is deployed.

Nothing that the bundle says is written down a second time.
"""

import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from tests.local_cloud.common.downloads import ROOT

PERSON = "someone@example.com"
# Lists whose elements a target's override finds by their key.
_BY_KEY = {"tasks": "task_key", "job_clusters": "job_cluster_key", "environments": "environment_key"}
_REFERENCE = re.compile(r"\$\{([a-z_A-Z.]+)\}")

Document = dict[str, Any]


def read_bundle_job(key: str, *, target: str = "prod", variables: Mapping[str, Any] | None = None) -> Document:
    """A job's settings, as jobs/create takes them.

    Args:
        key: the job's among the bundle's resources, such as `daily_messages`.
        target: where it would be deployed.
        variables: values over the defaults.

    Raises:
        KeyError: there is no such job, target or variable.
    """
    document = read_bundle(ROOT)
    given = {name: {"default": value} for name, value in (variables or {}).items()}
    bundle = resolve_target(merge(document, {"variables": given}), target)
    job: Document = bundle["resources"]["jobs"][key]
    return job


def read_bundle(root: Path) -> Document:
    """databricks.yml with what it includes."""
    document: Document = yaml.safe_load((root / "databricks.yml").read_text())
    for pattern in document["include"]:
        for path in sorted(root.glob(pattern)):
            document = merge(document, yaml.safe_load(path.read_text()))
    return document


def merge(base: Any, over: Any, key: str = "") -> Any:
    """A mapping key by key, the lists of `_BY_KEY` element by element; any other list grows, any other value is new."""
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
    """The document as one target deploys it, every reference replaced.

    Raises:
        KeyError: a reference leads nowhere.
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
        return _resolve(_look_up(whole[1], known), known)
    return _REFERENCE.sub(lambda found: str(_resolve(_look_up(found[1], known), known)), value)


def _look_up(path: str, known: Any) -> Any:
    for name in path.split("."):
        if not isinstance(known, Mapping) or name not in known:
            raise KeyError(path)
        known = known[name]
    return known

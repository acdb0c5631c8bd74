"""The environment of the orchestrators that run docs/examples: their packages beside the library's own."""

import tomllib
from pathlib import Path

from tests.support.own_environment import create_environment
from tests.support.spark_session import ROOT

CONSTRAINTS = ROOT / "tests/orchestrators.txt"
ORCHESTRATORS = ("apache-airflow-core==3.3.2", "dagster==1.13.28")


def install() -> Path:
    """Return the folder of the environment's programs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return create_environment("orchestrators", CONSTRAINTS, [*ORCHESTRATORS, *project["dependencies"]])

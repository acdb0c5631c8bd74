"""Read the project's requirements and code, which are packed."""

import re
import shutil
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / "constraints.txt"
LIBRARY = ROOT / "jobs/daily_batch"
TRIGGERS = ROOT / "lambda_trigger"
ENTRY_POINTS = tuple(ROOT / "jobs" / name for name in ("daily_messages.py", "maintain_tables.py"))
# The modification time of every packed file. ZIP files cannot hold times before 1980, in any time zone.
PACKED_AT = 631_152_000
_BUILD_FILES = ("pyproject.toml", "README.md")
_NOT_CODE = shutil.ignore_patterns("__pycache__", "*.egg-info", "Makefile")


def read_version() -> str:
    """Return the project's version."""
    return str(_read_project()["version"])


def read_requirements(*extras: str) -> list[str]:
    """Return the project's pinned requirements with these extras, without their dependencies."""
    project = _read_project()
    optional = [line for extra in extras for line in project["optional-dependencies"][extra]]
    return [*project["dependencies"], *optional]


def choose_requirements(extra: str, *, names: Sequence[str]) -> list[str]:
    """Return the requirements with these names from one extra."""
    pins = {re.split(r"[=<>\[; ]", line)[0]: line for line in _read_project()["optional-dependencies"][extra]}
    return [pins[name] for name in names]


def copy_sources(folder: Path) -> None:
    """Copy the sources from which the wheel is built."""
    copy_code(LIBRARY, folder / "jobs/daily_batch")
    for name in _BUILD_FILES:
        shutil.copyfile(ROOT / name, folder / name)
        (folder / name).chmod(0o644)


def copy_code(source: Path, target: Path) -> None:
    """Copy a package's sources, with the same modes for any umask of the checkout."""
    shutil.copytree(source, target, ignore=_NOT_CODE, copy_function=shutil.copyfile)
    for path in [target, *target.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


def _read_project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project

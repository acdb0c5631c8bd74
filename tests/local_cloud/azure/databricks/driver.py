"""Run a task's program as Databricks does: an entry point of an installed wheel, or a Python file.

spark-submit driver.py ERROR wheel PACKAGE ENTRY_POINT [PARAMETER …]
spark-submit driver.py ERROR file PATH [PARAMETER …]

If the task fails, its error is written to the file ERROR. This program is copied to the task's folder, so it imports
nothing of the local cloud.
"""

import importlib
import runpy
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path


def run_wheel(package: str, name: str) -> None:
    """Call an entry point from a package's metadata, or else the package's function of that name."""
    try:
        found = [each for each in distribution(package).entry_points if each.name == name]
    except PackageNotFoundError:
        found = []
    call = found[0].load() if found else getattr(importlib.import_module(package), name)
    call()


def main() -> None:
    """Run the task and exit with its status."""
    error, kind, *rest = sys.argv[1:]
    sys.argv = rest[1:] if kind == "wheel" else rest
    try:
        if kind == "wheel":
            run_wheel(*rest[:2])
        else:
            runpy.run_path(rest[0], run_name="__main__")
    except SystemExit as ended:
        if ended.code:
            Path(error).write_text(f"SystemExit: {ended.code}")
        raise
    except BaseException as failed:
        Path(error).write_text(f"{type(failed).__name__}: {failed}")
        raise


if __name__ == "__main__":
    main()

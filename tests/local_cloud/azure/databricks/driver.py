"""A task's program, as Databricks calls it: an entry point of an installed wheel, or a Python file.

spark-submit databricks_driver.py ERROR wheel PACKAGE ENTRY_POINT [PARAMETER …]
spark-submit databricks_driver.py ERROR file PATH [PARAMETER …]

Writes to the file ERROR how the task ended, if not well. It is copied to where the task works, and stands by itself.
"""

import importlib
import runpy
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path


def run_wheel(package: str, name: str) -> None:
    """Call the entry point of a package's metadata, or the package's function of that name."""
    try:
        found = [each for each in distribution(package).entry_points if each.name == name]
    except PackageNotFoundError:
        found = []
    call = found[0].load() if found else getattr(importlib.import_module(package), name)
    call()


def main() -> None:
    """Run the task, and let its exit status be ours."""
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

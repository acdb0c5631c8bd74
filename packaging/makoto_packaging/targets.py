"""Describe the machine for which a package is built: its processor and its Python."""

import platform
import sys
from dataclasses import dataclass
from typing import Literal, Self

Arch = Literal["aarch64", "x86_64"]
ARCHS: tuple[Arch, ...] = ("aarch64", "x86_64")
# Every AWS page lists it for the releases with Spark 4 (docs/project/dependencies.md); the pages disagree about 3.12.
EMR_PYTHON = "3.11"
# Amazon Linux 2023 (Lambda from Python 3.12, EMR from 7.0) has glibc 2.34, but every package here has wheels for 2.28.
# Each platform tag is listed, because older versions of pip do not include the tags below one.
_GLIBC_MINORS = range(28, 16, -1)


@dataclass(frozen=True, kw_only=True)
class Target:
    """A target machine; without `platforms`, this machine with this Python."""

    arch: str
    python: str
    platforms: tuple[str, ...] = ()

    @classmethod
    def linux(cls, arch: Arch, python: str) -> Self:
        """Return a Linux with glibc 2.28 or newer; `python` as in `3.12`."""
        platforms = (*(f"manylinux_2_{minor}_{arch}" for minor in _GLIBC_MINORS), f"manylinux2014_{arch}")
        return cls(arch=arch, python=python, platforms=platforms)

    @classmethod
    def here(cls) -> Self:
        """Return this machine with this Python."""
        return cls(arch=platform.machine(), python=f"{sys.version_info[0]}.{sys.version_info[1]}")

    def pip_options(self) -> list[str]:
        """Return the arguments that make pip choose wheels for this target."""
        if not self.platforms:
            return []
        options = ["--implementation", "cp", "--python-version", self.python]
        return [*options, *(word for name in self.platforms for word in ("--platform", name))]

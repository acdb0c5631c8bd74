"""For which machine a package is: its processor and its Python."""

import platform
import sys
from dataclasses import dataclass
from typing import Literal, Self

Arch = Literal["aarch64", "x86_64"]
ARCHS: tuple[Arch, ...] = ("aarch64", "x86_64")
# Every page of AWS lists it for the releases with Spark 4 (docs/upgrading.md); of 3.12 they disagree.
EMR_PYTHON = "3.11"
# Amazon Linux 2023 (Lambda from Python 3.12, EMR from 7.0) has glibc 2.34, but wheels that ask for no more than
# 2.28 are there for all that we pack. Each is named: not every pip takes the older ones along.
_GLIBC_MINORS = range(28, 16, -1)


@dataclass(frozen=True, kw_only=True)
class Target:
    """A machine that packages are for. `platforms` empty: the one that we are on, with the Python that we are."""

    arch: str
    python: str
    platforms: tuple[str, ...] = ()

    @classmethod
    def linux(cls, arch: Arch, python: str) -> Self:
        """A Linux with glibc 2.28 or newer; `python` as in `3.12`."""
        platforms = (*(f"manylinux_2_{minor}_{arch}" for minor in _GLIBC_MINORS), f"manylinux2014_{arch}")
        return cls(arch=arch, python=python, platforms=platforms)

    @classmethod
    def here(cls) -> Self:
        """This machine and this Python."""
        return cls(arch=platform.machine(), python=f"{sys.version_info[0]}.{sys.version_info[1]}")

    def pip_options(self) -> list[str]:
        """What makes pip choose wheels for this target."""
        if not self.platforms:
            return []
        chosen = ["--implementation", "cp", "--python-version", self.python]
        return [*chosen, *(word for name in self.platforms for word in ("--platform", name))]

"""Inspect a folder of installed packages for any machine: their closure, processor and Python version."""

import re
import struct
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

AARCH64, X86_64 = 183, 62


def find_names(folder: Path) -> set[str]:
    """Return the names of all distributions in a folder."""
    return {canonicalize_name(each.name) for each in metadata.distributions(path=[str(folder)])}


def find_closure(requirements: Iterable[str], folder: Path, *, python: str, machine: str) -> set[str]:
    """Return the closure of requirements on Linux for a Python and machine, including packages that are missing."""
    target = {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }
    installed: dict[str, metadata.Distribution] = {
        canonicalize_name(each.name): each for each in metadata.distributions(path=[str(folder)])
    }
    found: set[str] = set()
    pending = [_key(Requirement(line)) for line in requirements]
    visited = set(pending)
    while pending:
        name, extras = pending.pop()
        found.add(name)
        for line in (installed[name].requires if name in installed else None) or []:
            dependency = Requirement(line)
            marker = dependency.marker
            if marker and not any(marker.evaluate(target | {"extra": each}) for each in {"", *extras}):
                continue
            if _key(dependency) not in visited:
                visited.add(_key(dependency))
                pending.append(_key(dependency))
    return found


def read_machines(folder: Path) -> dict[str, int]:
    """Return the processor (ELF's e_machine) of each shared object below a folder."""
    machines = {}
    for path in sorted(folder.rglob("*.so*")):
        if not re.search(r"\.so(\.\d+)*$", path.name):
            continue
        with path.open("rb") as file:
            header = file.read(20)
        assert header[:4] == b"\x7fELF", path
        machines[path.relative_to(folder).as_posix()] = struct.unpack_from("<H", header, 18)[0]
    return machines


def find_foreign_modules(folder: Path, *, python: str) -> list[str]:
    """Return the extension modules that need another version of Python."""
    tag = f"cpython-{python.replace('.', '')}-"
    return [path.name for path in folder.rglob("*.cpython-*.so") if tag not in path.name]


def _key(requirement: Requirement) -> tuple[str, frozenset[str]]:
    return canonicalize_name(requirement.name), frozenset(requirement.extras)

"""Build a Python environment for any target machine, in one archive that `spark.archives` unpacks.

It contains packages and no Python: `bin/python` links to the target machine's. Spark's own packages are not in it:
Spark puts them on the path of its processes.
"""

import json
import subprocess
import tempfile
import zipfile
from pathlib import Path

from makoto_packaging.installing import install_packages
from makoto_packaging.packing import pack_folder
from makoto_packaging.project import choose_requirements, read_requirements
from makoto_packaging.targets import Target

# Spark needs these two on its workers; a release has them only for its default Python.
_SPARK_WORKER_PACKAGES = ("pandas", "pyarrow")
_INSPECT = (
    "import json, site, sys; print(json.dumps([sys._base_executable,"
    " '%d.%d' % sys.version_info[:2], site.getsitepackages()]))"
)


def make_environment(folder: Path, *, target: Target, interpreter: Path, wheel: Path, scratch: Path) -> None:
    """Build the Spark job's environment below `folder`; `interpreter` is the path of Python on the target machine."""
    packages = _create_venv(folder, interpreter=interpreter, python=target.python)
    requirements = [*read_requirements("cli", "aws"), *choose_requirements("spark", names=_SPARK_WORKER_PACKAGES)]
    install_packages(requirements, packages, target=target, scratch=scratch)
    # pip would record the local path of a wheel that is a file.
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(packages)


def pack_thin(*, interpreter: Path, out: Path) -> Path:
    """Write an environment that links to the packages of another one, for this machine only.

    Args:
        interpreter: The Python of the other environment, such as `.venv/bin/python`.
        out: The archive.
    """
    done = subprocess.run([str(interpreter), "-c", _INSPECT], check=True, capture_output=True, text=True)  # noqa: S603 - the caller's Python
    base, python, folders = json.loads(done.stdout)
    with tempfile.TemporaryDirectory() as scratch:
        packages = _create_venv(Path(scratch), interpreter=Path(base), python=python)
        # Unlike a plain path entry, this also follows the links of editable installs.
        lines = [f"import site; site.addsitedir({each!r})\n" for each in folders]
        (packages / "packages.pth").write_text("".join(lines), encoding="utf-8")
        return pack_folder(Path(scratch), out)


def _create_venv(folder: Path, *, interpreter: Path, python: str) -> Path:
    """Create a virtual environment without packages, and return its site-packages folder."""
    packages = folder / f"lib/python{python}/site-packages"
    packages.mkdir(parents=True)
    (folder / "bin").mkdir()
    for name in ("python", "python3", f"python{python}"):
        (folder / "bin" / name).symlink_to(interpreter if name == "python" else "python")
    settings = f"home = {interpreter.parent}\ninclude-system-site-packages = false\nversion = {python}\n"
    (folder / "pyvenv.cfg").write_text(settings, encoding="utf-8")
    return packages

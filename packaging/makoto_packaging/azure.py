"""Build the folder that `func azure functionapp publish --no-build` publishes: functions, host.json, packages, library.

The packages are wheels for the app's Linux and Python, installed here and not by Azure: its remote build has used a
different Python from the app's, and then no function is found. Any machine can build the folder, without Docker.

PYTHONPATH=packaging python -m makoto_packaging.azure
PYTHONPATH=packaging python -m makoto_packaging.azure --out out/azure
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from makoto_packaging.installing import build_wheel, install_packages, measure
from makoto_packaging.project import ROOT, copy_code, read_requirements
from makoto_packaging.targets import Target

TRIGGERS = ROOT / "azure_trigger"
EXTRAS = ("azure", "functions")
# Where the Functions worker finds packages; Core Tools publishes them unchanged.
PACKAGES = Path(".python_packages/lib/site-packages")
# The `runtime` of infra/azure/main.bicep. Flex Consumption has no ARM.
PYTHON = "3.12"
# The host expects these files in the root of the folder.
_AT_ROOT = ("function_app.py", "host.json")
# Core Tools reads the language from it. It is not published: a deployed app has its own settings.
_LOCAL_SETTINGS = '{"IsEncrypted": false, "Values": {"FUNCTIONS_WORKER_RUNTIME": "python"}}\n'


def build_folder(out: Path, *, target: Target) -> Path:
    """Build the folder, replacing an earlier one; the same sources give the same bytes.

    The folder has no requirements.txt, so Core Tools refuses a remote build.

    Raises:
        FileExistsError: `out` holds other files.
    """
    _clear(out)
    with tempfile.TemporaryDirectory() as scratch:
        install_packages(read_requirements(*EXTRAS), out / PACKAGES, target=target, scratch=Path(scratch))
        # Unpacked, not installed: pip would record the local path of the wheel.
        with zipfile.ZipFile(build_wheel(Path(scratch, "wheel"), scratch=Path(scratch))) as wheel:
            wheel.extractall(out / PACKAGES)
    copy_code(TRIGGERS, out / TRIGGERS.name)
    for name in _AT_ROOT:
        (out / TRIGGERS.name / name).rename(out / name)
    (out / "local.settings.json").write_text(_LOCAL_SETTINGS, encoding="utf-8")
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Build the folder, and print how to publish and check it."""
    options = _parser().parse_args(argv)
    target = Target.linux("x86_64", options.python_version)
    print(f"==> packages for Azure Functions, {target.arch}, Python {target.python}", file=sys.stderr)
    try:
        folder = build_folder(options.out, target=target)
    except FileExistsError as error:
        print(f"{error}; name another folder with --out", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError:
        print("pip failed; its error is above", file=sys.stderr)
        return 1
    print(f"{folder}: {measure(folder):,} bytes, for Python {target.python}")
    print("Publish it, then check that Azure lists five functions:")
    print(f"    cd {folder} && func azure functionapp publish FUNCTION_APP --python --no-build")
    print("    func azure functionapp list-functions FUNCTION_APP")
    return 0


def _clear(out: Path) -> None:
    """Create the folder, or empty it if it holds an earlier build and nothing else."""
    if out.exists() and any(out.iterdir()):
        if not (out / TRIGGERS.name).is_dir() or not (out / PACKAGES / "daily_batch").is_dir():
            raise FileExistsError(f"{out} contains other files than an earlier build")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m makoto_packaging.azure",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("dist/azure"), help="output folder; default %(default)s")
    parser.add_argument("--python-version", default=PYTHON, help="Python version of the app; default %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())

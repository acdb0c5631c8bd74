"""The folder that `func azure functionapp publish` publishes: functions, host.json, requirements and our wheel.

Azure installs the requirements on its own machine (the remote build), so the folder is made on any.

python -m deploy.azure
python -m deploy.azure --out out/azure
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from deploy.installing import build_wheel, measure
from deploy.project import CONSTRAINTS, ROOT, copy_code, read_requirements

TRIGGERS = ROOT / "azure_trigger"
EXTRAS = ("azure", "functions")
# Where the host looks: beside each other, in the folder's root.
_AT_ROOT = ("function_app.py", "host.json")
# Tells Core Tools which language this is; it is never published, and app settings are the app's own.
_LOCAL_SETTINGS = '{"IsEncrypted": false, "Values": {"FUNCTIONS_WORKER_RUNTIME": "python"}}\n'


def build_folder(out: Path) -> Path:
    """Make the folder; an earlier one is replaced. The same sources give the same bytes.

    Raises:
        FileExistsError: `out` holds something else.
    """
    _clear(out)
    with tempfile.TemporaryDirectory() as scratch:
        wheel = build_wheel(out, scratch=Path(scratch))
    copy_code(TRIGGERS, out / TRIGGERS.name)
    for name in _AT_ROOT:
        (out / TRIGGERS.name / name).rename(out / name)
    shutil.copyfile(CONSTRAINTS, out / CONSTRAINTS.name)
    (out / "requirements.txt").write_text(write_requirements(wheel.name), encoding="utf-8")
    (out / "local.settings.json").write_text(_LOCAL_SETTINGS, encoding="utf-8")
    return out


def write_requirements(wheel: str) -> str:
    """What Azure installs: the project's own pins, those of everything that they bring, and the wheel."""
    pins = sorted(read_requirements(*EXTRAS))
    return "\n".join([f"--constraint {CONSTRAINTS.name}", *pins, f"./{wheel}", ""])


def main(argv: Sequence[str] | None = None) -> int:
    """Make the folder, and say how it is published."""
    options = _parser().parse_args(argv)
    try:
        folder = build_folder(options.out)
    except FileExistsError as error:
        print(f"{error}; name another folder with --out", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError:
        print("pip failed, for the reason above", file=sys.stderr)
        return 1
    print(f"{folder}: {measure(folder):,} bytes; Azure installs the requirements. Publish it:")
    print(f"    cd {folder} && func azure functionapp publish FUNCTION_APP --python --build remote")
    return 0


def _clear(out: Path) -> None:
    """Make the folder, or remove an earlier one of ours and nothing else."""
    if out.exists() and any(out.iterdir()):
        if not (out / TRIGGERS.name).is_dir() or not list(out.glob("makoto_daily_batch-*.whl")):
            raise FileExistsError(f"{out} holds what is no function app of ours")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.azure", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("dist/azure"), help="the folder; default %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""Build the EMR Serverless package: the entry scripts, the packed environment, the wheel, and a list of the files.

Any machine can build it for the release's processor and Python; the same sources give the same bytes.

PYTHONPATH=packaging python -m makoto_packaging.emr
PYTHONPATH=packaging python -m makoto_packaging.emr --arch x86_64 --out out/emr --python-version 3.13 \\
    --interpreter /usr/local/bin/python3.13
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from makoto_packaging.environment import make_environment
from makoto_packaging.installing import build_wheel, measure
from makoto_packaging.packing import digest_file, pack_folder
from makoto_packaging.project import ENTRY_POINTS, read_version
from makoto_packaging.targets import ARCHS, EMR_PYTHON, Target

ENVIRONMENT = "environment.tar.gz"
PACKAGE_LIST = "package.json"
_PACKAGE_FILES = (*(script.name for script in ENTRY_POINTS), ENVIRONMENT, PACKAGE_LIST, "*.whl")


@dataclass(frozen=True, kw_only=True)
class EmrPackage:
    """A complete package folder. `version` is the project's version with a digest of the folder's content."""

    folder: Path
    version: str
    packed_bytes: int
    unpacked_bytes: int


def build_package(out: Path, *, target: Target, interpreter: Path, level: int = 6) -> EmrPackage:
    """Build the package in `out`, replacing an earlier one; the list of files is written last.

    Args:
        out: The output folder.
        target: The application's processor and the job's Python version.
        interpreter: The path of that Python in the EMR release.
        level: The gzip compression level.

    Raises:
        FileExistsError: `out` contains other files.
    """
    _clear(out)
    with tempfile.TemporaryDirectory() as scratch:
        environment, work = Path(scratch, "environment"), Path(scratch)
        _log("the wheel")
        wheel = build_wheel(out, scratch=work)
        _log(f"packages for EMR Serverless, {target.arch}, Python {target.python}")
        make_environment(environment, target=target, interpreter=interpreter, wheel=wheel, scratch=work)
        unpacked = measure(environment)
        _log(f"packing {unpacked:,} bytes")
        pack_folder(environment, out / ENVIRONMENT, level=level)
        packages = _read_packages(environment)
    for script in ENTRY_POINTS:
        shutil.copyfile(script, out / script.name)
    files = _read_files(out)
    version = f"{read_version()}-{_digest(files)}"
    package_list = {
        "version": version,
        "arch": target.arch,
        "python": target.python,
        "interpreter": str(interpreter),
        "unpacked_bytes": unpacked,
        "files": files,
        "packages": packages,
    }
    (out / PACKAGE_LIST).write_text(json.dumps(package_list, indent=2) + "\n", encoding="utf-8")
    packed = sum(file["bytes"] for file in files.values())
    return EmrPackage(folder=out, version=version, packed_bytes=packed, unpacked_bytes=unpacked)


def main(argv: Sequence[str] | None = None) -> int:
    """Build the package, and print how to upload it to S3."""
    options = _parser().parse_args(argv)
    interpreter = options.interpreter or Path(f"/usr/bin/python{options.python_version}")
    target = Target.linux(options.arch, options.python_version)
    try:
        package = build_package(options.out, target=target, interpreter=interpreter)
    except FileExistsError as error:
        print(f"{error}; name another folder with --out", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError:
        print("pip failed; its error is above, and nothing was packed", file=sys.stderr)
        return 1
    print(f"{package.folder}: {package.packed_bytes:,} bytes packed, {package.unpacked_bytes:,} unpacked")
    print(f"version {package.version}, for the template's PackageVersion. Upload it to the stack's ArtifactBucketName:")
    print(f"    aws s3 cp --recursive {package.folder} s3://ARTIFACT_BUCKET/emr/{package.version}/")
    return 0


def _clear(out: Path) -> None:
    """Create the folder, or remove an earlier package from it."""
    out.mkdir(parents=True, exist_ok=True)
    earlier = {path for pattern in _PACKAGE_FILES for path in out.glob(pattern)}
    if other_files := sorted(path.name for path in out.iterdir() if path not in earlier):
        raise FileExistsError(f"{out} contains files of no package: {', '.join(other_files[:3])}")
    for path in earlier:
        path.unlink()


def _read_packages(environment: Path) -> dict[str, str]:
    found = metadata.distributions(path=[str(path) for path in environment.glob("lib/python*/site-packages")])
    return dict(sorted((each.name, each.version) for each in found))


def _read_files(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.name: {"bytes": path.stat().st_size, "sha256": digest_file(path)} for path in sorted(folder.iterdir())}


def _digest(files: dict[str, dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()[:12]


def _log(step: str) -> None:
    print(f"==> {step}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m makoto_packaging.emr", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--arch", choices=ARCHS, default="aarch64", help="the application's processor; default %(default)s"
    )
    parser.add_argument(
        "--python-version",
        default=EMR_PYTHON,
        metavar="3.N",
        help="Python version of the job, as the template's EmrPython; default %(default)s",
    )
    parser.add_argument(
        "--interpreter",
        type=Path,
        metavar="PATH",
        help="path of that Python in the release; default /usr/bin/python3.N",
    )
    parser.add_argument("--out", type=Path, default=Path("dist/emr"), help="output folder; default %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())

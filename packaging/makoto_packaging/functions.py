"""Build the Lambda package: the functions' code, and one layer of packages that all functions share.

`sam build` runs it (lambda_trigger/Makefile). Any machine can build it, without Docker.

PYTHONPATH=packaging python -m makoto_packaging.functions layer --out out/layer
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from makoto_packaging.installing import install_packages, measure
from makoto_packaging.project import LIBRARY, TRIGGERS, copy_code, read_requirements
from makoto_packaging.targets import ARCHS, Target

# Lambda's limit for a function with its layers, unpacked. A direct upload is limited to 50 MB zipped, which the layer
# exceeds, but `sam deploy` uploads through S3, which has no such limit.
UNPACKED_LIMIT = 262_144_000


def build_code(out: Path) -> None:
    """Copy the library and the handlers, which are all that changes between versions."""
    for source in (LIBRARY, TRIGGERS):
        copy_code(source, out / source.name)


def build_layer(out: Path, *, target: Target) -> None:
    """Install third-party packages below `python/`, where Lambda looks for them; the runtime includes boto3."""
    with tempfile.TemporaryDirectory() as scratch:
        install_packages(read_requirements("lambda"), out / "python", target=target, scratch=Path(scratch))


def main(argv: Sequence[str] | None = None) -> int:
    """Build the code or the layer, and print its size."""
    options = _parser().parse_args(argv)
    target = Target.linux(options.arch, options.python_version)
    try:
        if options.part == "code":
            build_code(options.out)
        else:
            print(f"==> packages for Lambda, {target.arch}, Python {target.python}", file=sys.stderr)
            build_layer(options.out, target=target)
    except subprocess.CalledProcessError:
        print("pip failed; its error is above", file=sys.stderr)
        return 1
    size = measure(options.out)
    print(
        f"{options.part}: {size:,} bytes unpacked; Lambda's limit for both parts is {UNPACKED_LIMIT:,}",
        file=sys.stderr,
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m makoto_packaging.functions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", choices=("code", "layer"))
    parser.add_argument("--out", type=Path, required=True, help="output folder; created if it is missing")
    parser.add_argument("--arch", choices=ARCHS, default="x86_64", help="the functions' processor; default %(default)s")
    parser.add_argument("--python-version", default="3.12", help="the runtime's Python; default %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""Build what Lambda runs: the functions' code, and one layer with the packages that all functions share.

`sam build` calls this (lambda_trigger/Makefile). It needs no Docker and runs on any machine.

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

# Lambda's own limit of a function with its layers, unpacked. Zipped, 50 MB may be uploaded directly; the layer is
# more, but `sam deploy` takes everything by way of S3, where that limit does not hold.
UNPACKED_LIMIT = 262_144_000


def make_code(out: Path) -> None:
    """The library and the handlers, which is all that differs from one version to the next."""
    for source in (LIBRARY, TRIGGERS):
        copy_code(source, out / source.name)


def make_layer(out: Path, *, target: Target) -> None:
    """Other people's packages below `python/`, where Lambda looks for them. It brings boto3 itself."""
    with tempfile.TemporaryDirectory() as scratch:
        install_packages(read_requirements("lambda"), out / "python", target=target, scratch=Path(scratch))


def main(argv: Sequence[str] | None = None) -> int:
    """Make one of the two, and say how large it is."""
    options = _parser().parse_args(argv)
    target = Target.linux(options.arch, options.python_version)
    try:
        if options.part == "code":
            make_code(options.out)
        else:
            print(f"==> packages for Lambda, {target.arch}, Python {target.python}", file=sys.stderr)
            make_layer(options.out, target=target)
    except subprocess.CalledProcessError:
        print("pip failed, for the reason above", file=sys.stderr)
        return 1
    size = measure(options.out)
    print(f"{options.part}: {size:,} bytes unpacked; Lambda takes {UNPACKED_LIMIT:,} in all", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m makoto_packaging.functions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", choices=("code", "layer"))
    parser.add_argument("--out", type=Path, required=True, help="the folder; made if it is not there")
    parser.add_argument("--arch", choices=ARCHS, default="x86_64", help="of the functions; default %(default)s")
    parser.add_argument("--python-version", default="3.12", help="of the functions' runtime; default %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())

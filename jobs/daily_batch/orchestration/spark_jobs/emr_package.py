"""Check the jobs' package: it is complete, and built for the application's architecture and Python version."""

from typing import TYPE_CHECKING

import msgspec
from obstore.exceptions import BaseError

from daily_batch.errors import TerminalError
from daily_batch.orchestration.spark_jobs.emr_request import ENTRY_POINT, ENVIRONMENT, EmrConfig
from daily_batch.storage.failures import is_denied

if TYPE_CHECKING:  # obstore has these names for type checkers only
    from obstore.store import ObjectStore

MANIFEST = "package.json"
# Architectures as CloudFormation and the API name them, and as `make package-emr` does.
ARCHITECTURES = {"ARM64": "aarch64", "X86_64": "x86_64"}
_COPY = "copy dist/emr there, and set MAKOTO_EMR_PACKAGE (docs/deploy-aws.md)"


class Package(msgspec.Struct):
    """The content of package.json."""

    arch: str
    python: str


def check_package(store: "ObjectStore", config: EmrConfig, *, architecture: str) -> None:
    """Check the package in its folder; do nothing if this identity may not read it.

    Args:
        store: The store of the package's folder.
        config: The deployment's configuration.
        architecture: The application's architecture, as GetApplication returns it; empty if it returns none.

    Raises:
        TerminalError: The package is missing or incomplete, or built for another architecture or Python version.
    """
    name = MANIFEST
    try:
        package = msgspec.json.decode(bytes(store.get(MANIFEST).bytes()), type=Package)
        for name in (ENTRY_POINT, ENVIRONMENT):
            store.head(name)
    except FileNotFoundError as error:
        raise TerminalError(
            f"the package is incomplete: {config.package}/{name} does not exist", next_step=_COPY
        ) from error
    except (BaseError, OSError) as error:
        if is_denied(error):
            return
        raise
    except msgspec.MsgspecError as error:
        what = f"the package's manifest {config.package}/{MANIFEST} is not understood"
        raise TerminalError(what, next_step=_COPY) from error
    required = ARCHITECTURES.get(architecture, package.arch)
    if package.arch != required:
        what = f"the package is for {package.arch}, and the application runs on {required}"
        raise TerminalError(what, next_step=f"make package-emr PACKAGE_ARGS='--arch {required}'")
    if package.python != config.python:
        what = f"the package is for Python {package.python}, and jobs run on Python {config.python} (emr_python)"
        step = f"set EmrPython={package.python}, or make package-emr PACKAGE_ARGS='--python-version {config.python}'"
        raise TerminalError(what, next_step=step)

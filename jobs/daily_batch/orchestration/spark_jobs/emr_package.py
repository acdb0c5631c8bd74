"""Whether the package that a request names is there, whole, and for the application's processor and Python."""

from typing import TYPE_CHECKING

import msgspec
from obstore.exceptions import BaseError

from daily_batch.errors import TerminalError
from daily_batch.orchestration.spark_jobs.emr_request import ENTRY, ENVIRONMENT, Place
from daily_batch.storage.failures import is_denied

if TYPE_CHECKING:  # obstore has these names for type checkers only
    from obstore.store import ObjectStore

LIST = "package.json"
# What CloudFormation and the API call the processors, and what `make package-emr` does.
PROCESSORS = {"ARM64": "aarch64", "X86_64": "x86_64"}
_COPY = "copy dist/emr there, and set MAKOTO_EMR_PACKAGE (docs/deploy-aws.md)"


class Package(msgspec.Struct):
    """What package.json says."""

    arch: str
    python: str


def check_package(store: "ObjectStore", place: Place, *, architecture: str) -> None:
    """Look at it where it lies; who may not read it has nothing to look at.

    Args:
        store: of the package's folder.
        architecture: the application's, as GetApplication says it; empty where it says none.

    Raises:
        Terminal: it is not there, or for another processor or Python.
    """
    name = LIST
    try:
        package = msgspec.json.decode(bytes(store.get(LIST).bytes()), type=Package)
        for name in (ENTRY, ENVIRONMENT):
            store.head(name)
    except FileNotFoundError as error:
        raise TerminalError(
            f"the package lacks {name}: {place.package}/{name} is not there", next_step=_COPY
        ) from error
    except (BaseError, OSError) as error:
        if is_denied(error):
            return
        raise
    except msgspec.MsgspecError as error:
        raise TerminalError(f"the package's list {place.package}/{LIST} is not understood", next_step=_COPY) from error
    wanted = PROCESSORS.get(architecture, package.arch)
    if package.arch != wanted:
        what = f"the package is for {package.arch}, and the application runs on {wanted}"
        raise TerminalError(what, next_step=f"make package-emr PACKAGE_ARGS='--arch {wanted}'")
    if package.python != place.python:
        what = f"the package is for Python {package.python}, and jobs are told to use {place.python} (emr_python)"
        step = f"set EmrPython={package.python}, or make package-emr PACKAGE_ARGS='--python-version {place.python}'"
        raise TerminalError(what, next_step=step)

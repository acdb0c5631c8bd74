"""Why a job ended as it did, by what it and its service said of it: only what is known of their words is repeated."""

import re
from collections.abc import Callable
from typing import NamedTuple


class Cause(NamedTuple):
    """What a job lacked, and what helps."""

    what: str
    next_step: str


_PACKAGE = "make the job's package again and deploy it (docs/upgrading.md)"
_PYTHON = "name a Python that the release has, and make the package for it (docs/upgrading.md)"
_NETWORK = "let driver and workers reach the storage, and the identity's endpoint"
# Of our own programs, in the form of BatchError; an unexpected one says less than what stands before it.
_OURS = re.compile(
    r"^error: (?:tenant=\S+ day=\S+: )?(?P<what>(?!unexpected).+?)(?:\. Next step: (?P<step>.+?))?\.?$", re.MULTILINE
)
_NO_PYTHON = re.compile(
    r'Cannot run program "(?P<name>[\w./-]*python[\d.]*)"[^\n]*(?:error[=:] ?2\b|No such file)'
    r"|(?P<shell>[\w./-]*python[\d.]*): (?:No such file|not found)"
)
_OTHER_PYTHON = re.compile(r"requires a different Python: (?P<has>[\d.]+)")
_NO_MODULE = re.compile(r"No module named '(?P<module>[\w.]{1,80})'")
_NO_FILE = re.compile(r"NoSuchKey|FileNotFoundException|\b404\b[^\n]*Not Found")
_DENIED = re.compile(r"AccessDenied|Access Denied|AuthorizationPermissionMismatch|not authorized")
_NO_LIBRARY = re.compile(r"[Ll]ibrary installation failed|LIBRARY_INSTALLATION_ERROR")
_NO_WAY = re.compile(
    r"UnknownHostException|[Nn]ame or service not known|[Nn]ame resolution|[Cc]onnect(?:ion)? (?:timed out|refused)"
)


def find_cause(said: str) -> Cause | None:
    """The first thing that a job lacked; None where nothing of it is known.

    Args:
        said: its service's last words, and the end of its log.
    """
    return next(filter(None, (look(said) for look in _LOOKS)), None)


def _no_python(said: str) -> Cause | None:
    found = _NO_PYTHON.search(said)
    if not found:
        return None
    program = (found["name"] or found["shell"]).rpartition("/")[2]
    return Cause(f"the image lacks the Python of the package: its {program} leads to none", _PYTHON)


def _other_python(said: str) -> Cause | None:
    found = _OTHER_PYTHON.search(said)
    return Cause(f"the image lacks the Python of the package: it has {found['has']}", _PYTHON) if found else None


def _our_own(said: str) -> Cause | None:
    found = list(_OURS.finditer(said))
    return Cause(found[-1]["what"], found[-1]["step"] or "look at the job's log") if found else None


def _no_module(said: str) -> Cause | None:
    found = _NO_MODULE.search(said)
    return Cause(f"the package {found['module']} cannot be imported", _PACKAGE) if found else None


def _known(pattern: re.Pattern[str], cause: Cause) -> Callable[[str], Cause | None]:
    return lambda said: cause if pattern.search(said) else None


_LOOKS = (
    _no_python,
    _other_python,
    _our_own,
    _no_module,
    _known(_NO_FILE, Cause("a file of the job's package is not there", _PACKAGE)),
    _known(
        _DENIED,
        Cause(
            "permission: what the service fetches or writes for the job was denied",
            "allow the job's identity to read its package and to write its log",
        ),
    ),
    _known(_NO_LIBRARY, Cause("the libraries of the job cannot be installed", "look at the run's page for why")),
    _known(_NO_WAY, Cause("network: an address was not reached", _NETWORK)),
)

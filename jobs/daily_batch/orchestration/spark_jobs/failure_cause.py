"""Find the cause of a job's failure in its log, repeating only texts that cannot quote message content."""

import re
from collections.abc import Callable
from typing import NamedTuple


class Cause(NamedTuple):
    """What made the job fail, and the next step."""

    what: str
    next_step: str


_PACKAGE = "make the job's package again and deploy it (docs/upgrading.md)"
_PYTHON = "name a Python that the release has, and make the package for it (docs/upgrading.md)"
_NETWORK = "let driver and workers reach the storage, and the identity's endpoint"
# Errors of our own programs, as BatchError formats them. An unexpected error says less than the lines before it.
_OWN_ERROR = re.compile(
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
_NO_ROUTE = re.compile(
    r"UnknownHostException|[Nn]ame or service not known|[Nn]ame resolution|[Cc]onnect(?:ion)? (?:timed out|refused)"
)


def find_cause(log: str) -> Cause | None:
    """Return the first known cause in a log, or None.

    Args:
        log: The service's message on the job, and the end of its log.
    """
    return next(filter(None, (detect(log) for detect in _DETECTORS)), None)


def _detect_missing_python(log: str) -> Cause | None:
    match = _NO_PYTHON.search(log)
    if not match:
        return None
    program = (match["name"] or match["shell"]).rpartition("/")[2]
    return Cause(f"the image does not have the package's Python: {program} is not found", _PYTHON)


def _detect_other_python(log: str) -> Cause | None:
    match = _OTHER_PYTHON.search(log)
    return Cause(f"the image does not have the package's Python: it has {match['has']}", _PYTHON) if match else None


def _detect_own_error(log: str) -> Cause | None:
    errors = list(_OWN_ERROR.finditer(log))
    return Cause(errors[-1]["what"], errors[-1]["step"] or "look at the job's log") if errors else None


def _detect_missing_module(log: str) -> Cause | None:
    match = _NO_MODULE.search(log)
    return Cause(f"the package {match['module']} cannot be imported", _PACKAGE) if match else None


def _detect(pattern: re.Pattern[str], cause: Cause) -> Callable[[str], Cause | None]:
    return lambda log: cause if pattern.search(log) else None


_DETECTORS = (
    _detect_missing_python,
    _detect_other_python,
    _detect_own_error,
    _detect_missing_module,
    _detect(_NO_FILE, Cause("a file of the job's package is missing", _PACKAGE)),
    _detect(
        _DENIED,
        Cause(
            "missing permission: the service was denied access to files of the job",
            "allow the job's identity to read its package and to write its log",
        ),
    ),
    _detect(_NO_LIBRARY, Cause("the libraries of the job cannot be installed", "look at the run's page for why")),
    _detect(_NO_ROUTE, Cause("no connection: an address could not be reached", _NETWORK)),
)

"""The translator of boto3's errors: their code, whether a retry can help, and which refusal of access they are.

Errors are identified by class name, so that nothing here loads botocore. Their texts may name accounts and keys and are
never used.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from daily_batch.errors import BatchError
from daily_batch.storage.refusals import AWS_CODES, EXPIRED, NO_CREDENTIALS, ROLE_DENIED, UNREACHABLE, WRONG, Refusal

# By the name of a botocore exception or of its base class.
_CLASSES = {
    **dict.fromkeys(("ProfileNotFound", "ConfigNotFound", "ConfigParseError", "InvalidConfigError"), WRONG),
    **dict.fromkeys(("PartialCredentialsError", "UnknownCredentialError", "InfiniteLoopConfigError"), WRONG),
    **dict.fromkeys(("CredentialRetrievalError", "RefreshWithMFAUnsupportedError", "MetadataRetrievalError"), WRONG),
    "NoCredentialsError": NO_CREDENTIALS,
    **dict.fromkeys(("SSOError", "TokenRetrievalError", "LoginError", "NoAuthTokenError"), EXPIRED),
    **dict.fromkeys(("ConnectionError", "HTTPClientError"), UNREACHABLE),
}
_DENIED = ("AccessDenied", "AccessDeniedException")
_ASSUME_ROLE = ("AssumeRole", "AssumeRoleWithWebIdentity")


def error_code(error: BaseException) -> str:
    """Return the service's error code, or the error's class name if no service answered."""
    return str(_response(error).get("Error", {}).get("Code", type(error).__name__))


def is_temporary(error: BaseException, busy: Collection[str]) -> bool:
    """Return whether the service was not reached, failed, or answered with a code of `busy`."""
    status = int(_response(error).get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return _by_class(error) is UNREACHABLE or error_code(error) in busy or status >= 500


def explain(error: BaseException) -> BatchError | None:
    """Return the refusal of access that an error of boto3 is, or None for any other error."""
    if isinstance(error, RuntimeError) and "refreshed credentials are still expired" in str(error):
        return EXPIRED.to_error("s3", type(error).__name__)  # botocore raises a plain RuntimeError
    if not _is_boto(error):
        return None
    code = error_code(error)
    if code in AWS_CODES:
        return AWS_CODES[code].to_error("s3", code)
    if code in _DENIED and getattr(error, "operation_name", "") in _ASSUME_ROLE:
        return ROLE_DENIED.to_error("s3", code)
    refusal = _by_class(error)
    return refusal.to_error("s3", type(error).__name__) if refusal else None


@contextmanager
def translated() -> Iterator[None]:
    """Raise refusals of access as `BatchError`; let other errors pass."""
    try:
        yield
    except Exception as error:
        known = explain(error)
        if known is None:
            raise
        # The cause may quote keys: botocore's errors do.
        raise known from None


def _is_boto(error: BaseException) -> bool:
    return any(each.__module__.partition(".")[0] in ("botocore", "boto3") for each in type(error).__mro__)


def _by_class(error: BaseException) -> Refusal | None:
    if not _is_boto(error):
        return None
    return next((_CLASSES[each.__name__] for each in type(error).__mro__ if each.__name__ in _CLASSES), None)


def _response(error: BaseException) -> dict[str, Any]:
    return getattr(error, "response", None) or {} if _is_boto(error) else {}

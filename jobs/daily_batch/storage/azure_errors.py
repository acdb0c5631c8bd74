"""The translator of the Azure SDK's errors: of azure-identity, and by status of the services' clients.

Errors are identified by class name, so that nothing here loads the SDK. Of their texts only a code of Entra ID, or the
response of a token endpoint, is ever quoted.
"""

import re

from daily_batch.errors import BatchError, RetryableError, TerminalError, UsageError

_ENTRA_CODE = re.compile(r"AADSTS\d{4,8}")
# Expired secrets, sign-ins and tokens. https://learn.microsoft.com/entra/identity-platform/reference-error-codes
_EXPIRED = (
    *("AADSTS50089", "AADSTS50173", "AADSTS70008", "AADSTS70043"),
    *("AADSTS700082", "AADSTS700084", "AADSTS7000222"),
)
_UNKNOWN_IDENTITY = re.compile("no user assigned or delegated managed identity found|identity not found", re.IGNORECASE)
_REFUSED = re.compile(r"Token request error: (?:\([^)]*\) )?(?P<why>[^\r\n]{1,160})")
# The texts of credentials that found an endpoint to ask. Those that found none say in many words that they are
# unavailable.
_NO_ANSWER = re.compile(
    r"failed to establish|timed out|connection (?:aborted|broken|refused|reset)|max retries|JSON is invalid",
    re.IGNORECASE,
)
# azure-core raises these if a request was not answered.
_UNREACHABLE = ("ServiceRequestError", "ServiceResponseError")
# Timed out, partition moved, throttled, retry.
_TEMPORARY = (408, 410, 429, 449)


def error_code(error: BaseException) -> str:
    """Return the HTTP status of the service's response, or the error's class name if it has none."""
    return str(_status(error) or type(error).__name__)


def is_denied(error: BaseException) -> bool:
    """Return whether the service, or Entra ID, refused this identity."""
    return _has_class(error, "ClientAuthenticationError") or _status(error) in (401, 403)


def is_temporary(error: BaseException) -> bool:
    """Return whether the service was not reached, throttled or failed."""
    status = _status(error)
    return status is None or status in _TEMPORARY or status >= 500


def explain(error: BaseException) -> BatchError | None:
    """Return why there is no token, or None for any other error."""
    return explain_identity(error) if _has_class(error, "ClientAuthenticationError", *_UNREACHABLE) else None


def explain_identity(error: BaseException) -> BatchError:
    """Return why azure-identity has no token."""
    text = str(error)
    if code := _ENTRA_CODE.search(text):
        if code[0] in _EXPIRED:
            step = "sign in again with az login, or renew the secret of AZURE_CLIENT_ID"
            return TerminalError(f"the Azure sign-in or secret has expired ({code[0]})", next_step=step)
        step = "check AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET"
        return TerminalError(f"Entra refuses this Azure identity ({code[0]})", next_step=step)
    if _UNKNOWN_IDENTITY.search(text):
        step = "set AZURE_CLIENT_ID to the client id of an identity that the app or machine has"
        return UsageError("the managed identity of AZURE_CLIENT_ID is not one of this app or machine", next_step=step)
    if _NO_ANSWER.search(text) or _has_class(error, *_UNREACHABLE):
        step = "run the day again; if it stays so, check the identity of the app or machine"
        return RetryableError("the endpoint of Azure tokens does not answer", next_step=step)
    if refused := _REFUSED.search(text):
        what = f"the endpoint of Azure tokens refuses: {refused['why'].rstrip('. ')}"
        return TerminalError(what, next_step="check the identity of the app or machine")
    return UsageError(
        "no Azure identity is found",
        next_step="give the app or cluster one (docs/deploy-azure.md), or sign in with az login",
    )


def _has_class(error: BaseException, *names: str) -> bool:
    kinds = [each for each in type(error).__mro__ if each.__module__.partition(".")[0] == "azure"]
    return any(each.__name__ in names for each in kinds)


def _status(error: BaseException) -> int | None:
    status = getattr(error, "status_code", None)
    return int(status) if status else None

"""The translator of obstore's and delta-rs' errors, identified by the code in a store's response or by their text."""

import re

from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

from daily_batch.errors import BatchError, RetryableError, TerminalError, UsageError, find_error
from daily_batch.storage.refusals import (
    AWS_CODES,
    EXPIRED,
    KEYS_DISABLED,
    NO_CREDENTIALS,
    UNREACHABLE,
    WRONG,
    WRONG_REGION,
    Cloud,
)

LONGEST_CAUSE = 300
# https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes
_AZURE_CODES = {
    **dict.fromkeys(("AuthenticationFailed", "InvalidAuthenticationInfo", "AccountIsDisabled"), WRONG),
    **dict.fromkeys(("NoAuthenticationInformation", "PublicAccessNotPermitted"), NO_CREDENTIALS),
    **dict.fromkeys(("KeyBasedAuthenticationNotPermitted", "AuthenticationTypeDisabled"), KEYS_DISABLED),
}
# Azure Storage says in words that a token or a signature has expired.
_AZURE_EXPIRED = re.compile(
    "[Ll]ifetime validation failed|token is expired|Signature not valid in the specified time frame"
)
_CODE = re.compile(r"<Code>\s*(\w{1,80})\s*</Code>")
# The text after which obstore passes on an error of our own credential provider.
_CREDENTIAL_PROVIDER = "credential provider: "
_AZURE = re.compile(r"MicrosoftAzure|\.(?:blob|dfs)\.core\.|oauth2")
# obstore and delta-rs ask the instance metadata service last: nothing else had credentials.
_METADATA_SERVICE = "169.254.169.254"
_NO_ANSWER = ("error sending request", "Connection refused", "dns error", "operation timed out", "connection error")
_REDIRECTED = "incorrectly configured region"
# Only some calls of obstore, and none of delta-rs, raise a class of their own for these.
_DENIED = (
    *("AccessDenied", "Access Denied", "403 Forbidden", "AuthorizationPermissionMismatch", "AuthorizationFailure"),
    *("Permission denied", "kind: PermissionDenied", "lacked the necessary privileges"),
)
_MISSING = ("NoSuchBucket", "ContainerNotFound")


def explain(error: BaseException) -> BatchError | None:
    """Return the refusal of access that the error is, or None for any other error."""
    text = plain_text(error)
    _, marker, own = text.partition(_CREDENTIAL_PROVIDER)
    if marker and (found := find_error(own, UsageError, TerminalError, RetryableError)):
        return found
    for code in _CODE.findall(text):
        if code in AWS_CODES:
            return AWS_CODES[code].to_error("s3", code)
        if code in _AZURE_CODES:
            refusal = EXPIRED if _AZURE_EXPIRED.search(text) else _AZURE_CODES[code]
            return refusal.to_error("abfss", code)
    cloud: Cloud = "abfss" if _AZURE.search(text) else "s3"
    if _METADATA_SERVICE in text:
        return NO_CREDENTIALS.to_error(cloud, "the instance metadata service has none")
    if _REDIRECTED in text:
        return WRONG_REGION.to_error(cloud, "redirected")
    if any(sign in text for sign in _NO_ANSWER):
        return UNREACHABLE.to_error(cloud, "no answer")
    return None


def is_denied(error: BaseException) -> bool:
    """Return whether a store or the system denied access to an identity that it knows."""
    known = isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError)
    return known or any(sign in str(error) for sign in _DENIED)


def is_missing(error: BaseException) -> bool:
    """Return whether the bucket or container does not exist."""
    return any(sign in str(error) for sign in _MISSING)


def plain_text(error: BaseException) -> str:
    """Return the error's text as one line, without obstore's debugging output and delta-rs' colours."""
    text = re.sub(r"\x1b\[[0-9;]*m|↳", " ", str(error).partition("\n\nDebug source:")[0])
    return " ".join(text.split())


def quote_cause(error: BaseException) -> str:
    """Return the error's text for one line of a log.

    Two parts are removed: query strings, which may contain a signature, and a service's response except for its code,
    which may quote keys.
    """
    text = re.sub(r"<(?:\?xml|Error).*?<Code>\s*(\w+)\s*</Code>.*", r"\1", plain_text(error))
    text = re.sub(r"\?[^\s\"')]+", "", text)
    return text[:LONGEST_CAUSE].rstrip(". ")

"""Why a cloud does not let us in: no credentials, expired, wrong, another region, unreachable; each with its next step.

Whoever is let in and may not do what is asked is denied, which is told beside what was asked (`failures.py`). Services
and libraries are known by their codes and by the names of their errors: their words may quote keys and signatures.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from daily_batch.errors import BatchError, RetryableError, TerminalError, UsageError

Cloud = Literal["s3", "abfss"]


@dataclass(frozen=True)
class Refusal:
    """A kind of refusal: what it is, the error that it becomes, and the next step in each cloud."""

    what: str
    kind: type[BatchError]
    aws: str
    azure: str

    def to_error(self, cloud: Cloud, sign: str, *, tenant: str = "-", day: str = "-") -> BatchError:
        """The error, with what it is known by."""
        place, step = ("AWS", self.aws) if cloud == "s3" else ("Azure", self.azure)
        return self.kind(f"{self.what.format(cloud=place)} ({sign})", next_step=step, tenant=tenant, day=day)


NONE = Refusal(
    "no {cloud} credentials are found",
    UsageError,
    "name a profile in AWS_PROFILE and sign in (aws sso login), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY;"
    " profiles need pip install 'makoto-daily-batch[aws]'",
    "sign in (az login), give the app or cluster an identity, or set AZURE_STORAGE_CONNECTION_STRING",
)
EXPIRED = Refusal(
    "the {cloud} credentials have expired, or this machine's clock is wrong",
    TerminalError,
    "sign in again (aws sso login), or set new keys with their AWS_SESSION_TOKEN",
    "sign in again (az login), or give a new secret or shared access signature",
)
WRONG = Refusal(
    "the {cloud} credentials are wrong",
    UsageError,
    "correct the keys, their AWS_SESSION_TOKEN, or the profile that AWS_PROFILE names",
    "correct AZURE_STORAGE_CONNECTION_STRING, or the identity's tenant, client and secret",
)
KEYS_OFF = Refusal(
    "the {cloud} credentials are of a kind that is turned off",
    UsageError,
    "use a role or a profile",
    "this account takes no keys: use an identity (az login) instead of AZURE_STORAGE_CONNECTION_STRING",
)
REGION = Refusal(
    "the {cloud} region is not the bucket's", UsageError, "set AWS_REGION to the bucket's region", "check the URLs"
)
MAY_NOT = Refusal(
    "the {cloud} credentials may not be used so",
    TerminalError,
    "allow this identity to assume the role that the profile names",
    "allow this identity to ask for tokens",
)
UNREACHABLE = Refusal(
    "{cloud} cannot be reached",
    RetryableError,
    "check the network, the region and AWS_ENDPOINT_URL, then run the day again",
    "check the network, the account's name and its firewall, then run the day again",
)
# By the code of an answer. https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html and STS' common errors.
_AWS_CODES = {
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"), EXPIRED),
    **dict.fromkeys(("RequestTimeTooSkewed", "RequestInTheFuture"), EXPIRED),
    **dict.fromkeys(("InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException"), WRONG),
    **dict.fromkeys(("SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature"), WRONG),
    **dict.fromkeys(("InvalidToken", "InvalidSecurity", "MissingSecurityHeader", "AuthFailure"), WRONG),
    **dict.fromkeys(("MissingAuthenticationToken", "MissingAuthenticationTokenException"), NONE),
    **dict.fromkeys(
        ("AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException"), REGION
    ),
}
# https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes
_AZURE_CODES = {
    **dict.fromkeys(("AuthenticationFailed", "InvalidAuthenticationInfo", "AccountIsDisabled"), WRONG),
    **dict.fromkeys(("NoAuthenticationInformation", "PublicAccessNotPermitted"), NONE),
    **dict.fromkeys(("KeyBasedAuthenticationNotPermitted", "AuthenticationTypeDisabled"), KEYS_OFF),
}
# By the name of an error of botocore and of azure-identity, or of its ancestor.
_ERRORS = {
    **dict.fromkeys(("ProfileNotFound", "ConfigNotFound", "ConfigParseError", "InvalidConfigError"), WRONG),
    **dict.fromkeys(("PartialCredentialsError", "UnknownCredentialError", "InfiniteLoopConfigError"), WRONG),
    **dict.fromkeys(("NoCredentialsError", "CredentialUnavailableError"), NONE),
    **dict.fromkeys(("SSOError", "TokenRetrievalError", "LoginError", "NoAuthTokenError"), EXPIRED),
    **dict.fromkeys(("CredentialRetrievalError", "RefreshWithMFAUnsupportedError", "MetadataRetrievalError"), WRONG),
    "ClientAuthenticationError": WRONG,
    **dict.fromkeys(("ConnectionError", "HTTPClientError", "ServiceRequestError", "ServiceResponseError"), UNREACHABLE),
}
_DENIED_ROLE = ("AccessDenied", "AccessDeniedException")
# What Entra ID says of a secret, a session or a token that has expired; and Azure Storage of a signature.
_EXPIRED = re.compile(
    r"AADSTS(?:7000222|700082|700084|70043|70008|50173|50089)\b|[Ll]ifetime validation failed|token is expired"
    r"|Signature not valid in the specified time frame"
)
_CODE = re.compile(r"<Code>\s*(\w{1,80})\s*</Code>")
_OURS = re.compile(
    r"credential provider: (UsageError|Terminal|Retryable): tenant=\S+ day=\S+: (.+?)\. Next step: (.+?)\.(?:\s|$)"
)
# A provider of credentials that obstore and delta-rs ask last: nobody else had any.
_LAST_RESORT = "169.254.169.254"
_NOT_SENT = ("error sending request", "Connection refused", "dns error", "operation timed out", "connection error")
_WRONG_REGION = "incorrectly configured region"


def explain_access(error: BaseException, *, tenant: str = "-", day: str = "-") -> BatchError | None:
    """What a refusal means to a person; None for an error that is none, or of which only denied is known."""
    text = plain_text(error)
    if ours := _OURS.search(text):  # our own provider's, which obstore hands on as words
        kinds: dict[str, type[BatchError]] = {
            each.__name__: each for each in (UsageError, TerminalError, RetryableError)
        }
        return kinds[ours[1]](ours[2], next_step=ours[3], tenant=tenant, day=day)
    found = _find(error, text)
    if found is None:
        return None
    cloud, refusal, sign = found
    return refusal.to_error(cloud, sign, tenant=tenant, day=day)


@contextmanager
def explaining_access() -> Iterator[None]:
    """Errors from within become what they mean, where that is known."""
    try:
        yield
    except BatchError:
        raise
    except Exception as error:
        known = explain_access(error)
        if known is None:
            raise
        # What caused it may quote keys: botocore's errors do.
        raise known from None


def plain_text(error: BaseException) -> str:
    """An error's words in a line, without obstore's debugging output and delta-rs' colours."""
    text = re.sub(r"\x1b\[[0-9;]*m|↳", " ", str(error).partition("\n\nDebug source:")[0])
    return " ".join(text.split())


def _find(error: BaseException, text: str) -> tuple[Cloud, Refusal, str] | None:
    names = [each.__name__ for each in type(error).__mro__]
    libraries = {each.__module__.partition(".")[0] for each in type(error).__mro__}
    if libraries & {"botocore", "boto3"}:
        return _find_boto(error, names)
    if "azure" in libraries or "credential provider: Cl" in text or "credential provider: Cr" in text:
        return _find_azure_identity(names, text)
    if isinstance(error, RuntimeError) and "refreshed credentials are still expired" in text:
        return "s3", EXPIRED, names[0]
    for code in _CODE.findall(text):
        if code in _AWS_CODES:
            return "s3", _AWS_CODES[code], code
        if code in _AZURE_CODES:
            return "abfss", EXPIRED if _EXPIRED.search(text) else _AZURE_CODES[code], code
    cloud: Cloud = "abfss" if re.search(r"MicrosoftAzure|\.(?:blob|dfs)\.core\.|oauth2", text) else "s3"
    if _LAST_RESORT in text:
        return cloud, NONE, "the instance metadata service has none"
    if _WRONG_REGION in text:
        return cloud, REGION, "redirected"
    if any(sign in text for sign in _NOT_SENT):
        return cloud, UNREACHABLE, "no answer"
    return None


def _find_boto(error: BaseException, names: list[str]) -> tuple[Cloud, Refusal, str] | None:
    answer = getattr(error, "response", None) or {}
    code = str(answer.get("Error", {}).get("Code", ""))
    if code in _AWS_CODES:
        return "s3", _AWS_CODES[code], code
    if code in _DENIED_ROLE and getattr(error, "operation_name", "") in ("AssumeRole", "AssumeRoleWithWebIdentity"):
        return "s3", MAY_NOT, code
    known = next((name for name in names if name in _ERRORS), None)
    return None if known is None else ("s3", _ERRORS[known], names[0])


def _find_azure_identity(names: list[str], text: str) -> tuple[Cloud, Refusal, str] | None:
    known = next((name for name in (*names, *re.findall(r"credential provider: (\w+)", text)) if name in _ERRORS), None)
    if known is None:
        return None
    code = re.search(r"AADSTS\d+", text)
    refusal = EXPIRED if _EXPIRED.search(text) else _ERRORS[known]
    return "abfss", refusal, code[0] if code else known

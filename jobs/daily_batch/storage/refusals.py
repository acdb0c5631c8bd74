"""How a cloud refuses access: no credentials, expired, wrong, another region, unreachable; each with its next step.

The translator of each SDK maps its errors to these kinds by code and class name: the errors' texts may quote keys and
signatures. A valid identity without a permission is not refused but denied (`failures.is_denied`).
"""

from dataclasses import dataclass
from typing import Literal

from daily_batch.errors import BatchError, RetryableError, TerminalError, UsageError

Cloud = Literal["s3", "abfss"]


@dataclass(frozen=True)
class Refusal:
    """A kind of refusal: what happened, the error class, and the next step in each cloud."""

    what: str
    kind: type[BatchError]
    aws: str
    azure: str

    def to_error(self, cloud: Cloud, evidence: str) -> BatchError:
        """Return the error; `evidence` is the code or class name that identified the refusal."""
        name, step = ("AWS", self.aws) if cloud == "s3" else ("Azure", self.azure)
        return self.kind(f"{self.what.format(cloud=name)} ({evidence})", next_step=step)


NO_CREDENTIALS = Refusal(
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
KEYS_DISABLED = Refusal(
    "the {cloud} credentials are of a kind that is disabled",
    UsageError,
    "use a role or a profile",
    "this account takes no keys: use an identity (az login) instead of AZURE_STORAGE_CONNECTION_STRING",
)
WRONG_REGION = Refusal(
    "the {cloud} region is not the bucket's", UsageError, "set AWS_REGION to the bucket's region", "check the URLs"
)
ROLE_DENIED = Refusal(
    "the {cloud} credentials are not allowed to assume the role",
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
# Error codes of AWS' services, in the responses that boto3, obstore and delta-rs report alike.
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html and the common errors of STS.
AWS_CODES = {
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"), EXPIRED),
    **dict.fromkeys(("RequestTimeTooSkewed", "RequestInTheFuture"), EXPIRED),
    **dict.fromkeys(("InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException"), WRONG),
    **dict.fromkeys(("SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature"), WRONG),
    **dict.fromkeys(("InvalidToken", "InvalidSecurity", "MissingSecurityHeader", "AuthFailure"), WRONG),
    **dict.fromkeys(("MissingAuthenticationToken", "MissingAuthenticationTokenException"), NO_CREDENTIALS),
    **dict.fromkeys(
        ("AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException"), WRONG_REGION
    ),
}

"""Tokens of this process's own Azure identity, from azure-identity alone.

It knows App Service's IDENTITY_ENDPOINT, the AZURE_* variables of a service principal, the metadata service of a
machine and the sign-in of a person. delta-rs 1.6.6 asks the metadata service for a managed identity even on Functions,
which have none, so it is given a token; obstore, which could find its own, is given the same.
"""

import logging
import re
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from daily_batch.errors import BatchError, RetryableError, TerminalError, UsageError

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken

STORAGE = "https://storage.azure.com/.default"
# A token that is good for no longer than this is asked for anew: what delta-rs was given must last for one commit.
RENEWED_SECONDS = 300
_ENTRA = re.compile(r"AADSTS\d{4,8}")
# What Entra says of a secret or a sign-in whose time is over.
_EXPIRED = ("AADSTS50173", "AADSTS70008", "AADSTS70043", "AADSTS700082", "AADSTS7000222")
_NOT_THEIRS = re.compile("no user assigned or delegated managed identity found|identity not found", re.IGNORECASE)
_REFUSED = re.compile(r"Token request error: (?:\([^)]*\) )?(?P<why>[^\r\n]{1,160})")
# Of credentials that found something to ask. What asked nobody says that it is unavailable, in many words.
_SILENT = re.compile(
    r"failed to establish|timed out|connection (?:aborted|broken|refused|reset)|max retries|JSON is invalid",
    re.IGNORECASE,
)


class AzureIdentity:
    """The identity as azure-identity finds it, which every client of Azure here is opened with.

    Args:
        client_id: of the managed identity; without it, AZURE_CLIENT_ID's.

    Raises:
        UsageError: azure-identity is not installed.
    """

    def __init__(self, client_id: str = "") -> None:
        try:
            from azure.identity import DefaultAzureCredential
        except ImportError as error:
            what = f"an Azure identity needs the package {error.name}"
            raise UsageError(what, next_step="pip install 'makoto-daily-batch[azure]'") from error
        # It warns of each place where it looked; what came of it is in the error.
        logging.getLogger("azure.identity").setLevel(logging.ERROR)
        named = {"managed_identity_client_id": client_id} if client_id else {}
        self._source: Any = DefaultAzureCredential(**named)

    def get_token(self, *scopes: str, **options: Any) -> "AccessToken":
        """A token, as Azure's own clients ask for it.

        Raises:
            BatchError: there is none; it says why.
        """
        from azure.core.exceptions import AzureError

        try:
            token: AccessToken = self._source.get_token(*scopes, **options)
        except (AzureError, OSError) as error:
            raise explain_refusal(error) from error
        return token


@dataclass
class AzureCredentials:
    """The identity's token for storage, kept and renewed; threads may share it."""

    identity: AzureIdentity = field(repr=False)
    _held: "AccessToken | None" = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def token(self) -> "AccessToken":
        """One that is good for minutes more, or as long as there is another.

        Raises:
            BatchError: there is none; it says why.
        """
        with self._lock:
            left = self._held.expires_on - time.time() if self._held else 0
            if self._held is None or left <= RENEWED_SECONDS:
                try:
                    self._held = self.identity.get_token(STORAGE)
                except RetryableError:
                    if self._held is None or left <= 0:
                        raise
            return self._held

    def provide(self) -> dict[str, Any]:
        """See `Credentials.provide`."""
        now = self.token()
        return {"token": now.token, "expires_at": datetime.fromtimestamp(now.expires_on, UTC)}

    def as_options(self) -> dict[str, str]:
        """See `Credentials.as_options`."""
        return {"azure_storage_token": self.token().token}


@cache
def storage_credentials() -> AzureCredentials:
    """This process's own.

    Raises:
        UsageError: azure-identity is not installed.
    """
    return AzureCredentials(AzureIdentity())


def explain_refusal(error: Exception) -> BatchError:
    """What azure-identity's error means; none of its own text but a code and what an endpoint answered."""
    text = str(error)
    if code := _ENTRA.search(text):
        if code[0] in _EXPIRED:
            step = "sign in again with az login, or renew the secret of AZURE_CLIENT_ID"
            return TerminalError(f"the Azure sign-in or secret has expired ({code[0]})", next_step=step)
        step = "check AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET"
        return TerminalError(f"Entra refuses this Azure identity ({code[0]})", next_step=step)
    if _NOT_THEIRS.search(text):
        step = "set AZURE_CLIENT_ID to the client id of an identity that the app or machine has"
        return UsageError("the managed identity of AZURE_CLIENT_ID is not one of this app or machine", next_step=step)
    if _SILENT.search(text):
        what = "the endpoint of Azure tokens does not answer"
        return RetryableError(
            what, next_step="run the day again; if it stays so, check the identity of the app or machine"
        )
    if refused := _REFUSED.search(text):
        what = f"the endpoint of Azure tokens refuses: {refused['why'].rstrip('. ')}"
        return TerminalError(what, next_step="check the identity of the app or machine")
    return UsageError(
        "no Azure identity is found",
        next_step="give the app or cluster one (docs/deploy-azure.md), or sign in with az login",
    )

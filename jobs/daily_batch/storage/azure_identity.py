"""Tokens of this process's Azure identity, from azure-identity.

azure-identity knows App Service's IDENTITY_ENDPOINT, the AZURE_* variables of a service principal, a machine's metadata
service and a developer's sign-in. delta-rs 1.6.6 asks the metadata service for a managed identity even on Functions,
which have none, so it is given a token; obstore, which could find its own, is given the same one.
"""

import logging
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from daily_batch.errors import RetryableError, UsageError
from daily_batch.storage.azure_errors import explain_identity

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken

STORAGE = "https://storage.azure.com/.default"
# A token with less time left is renewed: the one that delta-rs was given must last for a commit.
RENEW_BEFORE_SECONDS = 300


class AzureIdentity:
    """The identity that azure-identity finds; every Azure client of this process uses it.

    Args:
        client_id: The client id of a managed identity; by default AZURE_CLIENT_ID.

    Raises:
        UsageError: azure-identity is not installed.
    """

    def __init__(self, client_id: str = "") -> None:
        try:
            from azure.identity import DefaultAzureCredential
        except ImportError as error:
            what = f"an Azure identity needs the package {error.name}"
            raise UsageError(what, next_step="pip install 'makoto-daily-batch[azure]'") from error
        # It logs a warning for each source that it tried; the error reports the result.
        logging.getLogger("azure.identity").setLevel(logging.ERROR)
        named = {"managed_identity_client_id": client_id} if client_id else {}
        self._source: Any = DefaultAzureCredential(**named)

    def get_token(self, *scopes: str, **options: Any) -> "AccessToken":
        """Return a token; the method that Azure's SDK calls on a credential.

        Raises:
            BatchError: There is no token; the message says why.
        """
        from azure.core.exceptions import AzureError

        try:
            token: AccessToken = self._source.get_token(*scopes, **options)
        except (AzureError, OSError) as error:
            raise explain_identity(error) from error
        return token


@dataclass
class AzureCredentials:
    """The identity's token for storage, cached and renewed. Thread-safe."""

    identity: AzureIdentity = field(repr=False)
    _held: "AccessToken | None" = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def token(self) -> "AccessToken":
        """Return a token that is valid for minutes more, or any valid one while no new token can be had.

        Raises:
            BatchError: There is no token; the message says why.
        """
        with self._lock:
            left = self._held.expires_on - time.time() if self._held else 0
            if self._held is None or left <= RENEW_BEFORE_SECONDS:
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
    """Return this process's own credentials for storage.

    Raises:
        UsageError: azure-identity is not installed.
    """
    return AzureCredentials(AzureIdentity())

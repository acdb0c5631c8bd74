"""Credentials that storage clients do not find by themselves: boto3's chain for S3, an Azure identity for abfss://.

obstore and delta-rs know fewer runtimes. delta-rs takes no credential provider, so it is given short-lived credentials.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Protocol

from daily_batch.storage.azure_identity import storage_credentials
from daily_batch.storage.boto_errors import translated
from daily_batch.storage.refusals import NO_CREDENTIALS

# boto3 renews credentials that expire within 10 minutes.
REFRESH_AFTER = timedelta(minutes=5)
# Options that provide credentials, or need none.
_GIVEN = ("aws_access_key_id", "aws_skip_signature")
YES = ("1", "true", "yes", "on")
EMULATOR = "azure_storage_use_emulator"
# The same for Azure, with any of the prefixes and names that the libraries accept.
_AZURE_GIVEN = re.compile(
    "(azure_)?(storage_)?(account_key|access_key|master_key|sas_key|sas_token|token|bearer_token|skip_signature"
    "|client_secret|authorized_client_secret)"
)


class Credentials(Protocol):
    """Credentials that renew themselves."""

    def provide(self) -> dict[str, Any]:
        """Return the current credentials in the form of obstore's credential providers."""

    def as_options(self) -> dict[str, str]:
        """Return the current credentials as delta-rs' storage options."""


@dataclass(frozen=True)
class S3Credentials:
    """boto3's credentials. Thread-safe."""

    source: Any = field(repr=False)

    def provide(self) -> dict[str, Any]:
        """See `Credentials.provide`."""
        now = self._read()
        return {
            "access_key_id": now.access_key,
            "secret_access_key": now.secret_key,
            "token": now.token,
            "expires_at": datetime.now(UTC) + REFRESH_AFTER,
        }

    def as_options(self) -> dict[str, str]:
        """See `Credentials.as_options`."""
        now = self._read()
        given = {"aws_access_key_id": now.access_key, "aws_secret_access_key": now.secret_key}
        return given | ({"aws_session_token": now.token} if now.token else {})

    def _read(self) -> Any:
        with translated():
            return self.source.get_frozen_credentials()


class RenewedOptions(Mapping[str, str]):
    """delta-rs' storage options, with credentials that are current when read: read them each time a table is opened."""

    def __init__(self, fixed: Mapping[str, str], credentials: Credentials) -> None:
        self._fixed, self._credentials = fixed, credentials

    def __getitem__(self, name: str) -> str:
        return self._fixed[name] if name in self._fixed else self._credentials.as_options()[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._fixed, **self._credentials.as_options()})

    def __len__(self) -> int:
        return len(list(iter(self)))


def find_credentials(kind: str, options: Mapping[str, str]) -> Credentials | None:
    """Return credentials for a kind of storage URL, or None if the storage clients need none from here.

    Raises:
        BatchError: There are no credentials; the message says why.
    """
    if kind == "s3":
        return find_s3_credentials(options)
    return find_azure_credentials(options) if kind == "abfss" else None


def find_azure_credentials(options: Mapping[str, str]) -> Credentials | None:
    """Return this process's Azure identity; None if the options contain a key or name the emulator.

    Raises:
        BatchError: The identity has no token. The check is made here, before a storage client hides the cause.
    """
    if any(map(_AZURE_GIVEN.fullmatch, options)) or options.get(EMULATOR, "").lower() in YES:
        return None
    found = storage_credentials()
    found.token()
    return found


def find_s3_credentials(options: Mapping[str, str]) -> S3Credentials | None:
    """Return boto3's credentials; None if the options or the environment contain some, or boto3 is not installed.

    Raises:
        BatchError: There are none, or they cannot be loaded.
    """
    if any(name in options for name in _GIVEN):
        return None
    return load_boto3_credentials()


@cache
def load_boto3_credentials() -> S3Credentials | None:
    """Return what boto3's chain finds; None for keys of the environment, or if boto3 is not installed."""
    try:
        import boto3
    except ImportError:
        return None
    with translated():
        source = boto3.Session().get_credentials()
    if source is None:
        raise NO_CREDENTIALS.to_error("s3", "boto3 looked in the environment, profiles and the runtime")
    # obstore and delta-rs read those of the environment, too, and nothing renews them.
    return None if source.method == "env" else S3Credentials(source)


@cache
def find_s3_region() -> str | None:
    """Return the region of the AWS profile; None if boto3 is not installed or knows none."""
    try:
        import boto3
    except ImportError:
        return None
    with translated():
        region: str | None = boto3.Session().region_name
    return region

"""Credentials that storage clients do not find by themselves: boto3's own chain for S3, an Azure identity for abfss://.

obstore and delta-rs know fewer runtimes; delta-rs takes no provider, so it is given what is good for some minutes.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Protocol

from daily_batch.storage.access import NONE, explaining_access
from daily_batch.storage.azure_identity import storage_credentials

# boto3 renews what lasts for less than 10 minutes more.
ASKED_AGAIN_AFTER = timedelta(minutes=5)
# What says that nobody needs to be asked.
_GIVEN = ("aws_access_key_id", "aws_skip_signature")
YES = ("1", "true", "yes", "on")
EMULATOR = "azure_storage_use_emulator"
# The same of Azure, by any of the prefixes and names that the libraries know.
_AZURE_GIVEN = re.compile(
    "(azure_)?(storage_)?(account_key|access_key|master_key|sas_key|sas_token|token|bearer_token|skip_signature"
    "|client_secret|authorized_client_secret)"
)


class Credentials(Protocol):
    """What a store is opened with; renews itself."""

    def provide(self) -> dict[str, Any]:
        """What they are now, as obstore's credential providers give it."""

    def as_options(self) -> dict[str, str]:
        """What they are now, as delta-rs' storage options."""


@dataclass(frozen=True)
class S3Credentials:
    """boto3's credentials, which renew themselves; threads may share them."""

    source: Any = field(repr=False)

    def provide(self) -> dict[str, Any]:
        """What they are now, as obstore's credential providers give it."""
        now = self._ask()
        return {
            "access_key_id": now.access_key,
            "secret_access_key": now.secret_key,
            "token": now.token,
            "expires_at": datetime.now(UTC) + ASKED_AGAIN_AFTER,
        }

    def as_options(self) -> dict[str, str]:
        """What they are now, as delta-rs' storage options."""
        now = self._ask()
        given = {"aws_access_key_id": now.access_key, "aws_secret_access_key": now.secret_key}
        return given | ({"aws_session_token": now.token} if now.token else {})

    def _ask(self) -> Any:
        with explaining_access():
            return self.source.get_frozen_credentials()


class RenewedOptions(Mapping[str, str]):
    """Storage options for delta-rs with credentials as they are at the moment of reading: read them at each opening."""

    def __init__(self, fixed: Mapping[str, str], credentials: Credentials) -> None:
        self._fixed, self._credentials = fixed, credentials

    def __getitem__(self, name: str) -> str:
        return self._fixed[name] if name in self._fixed else self._credentials.as_options()[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._fixed, **self._credentials.as_options()})

    def __len__(self) -> int:
        return len(list(iter(self)))


def find_credentials(kind: str, options: Mapping[str, str]) -> Credentials | None:
    """Credentials for a kind of storage URL; None where the storage clients need none of us.

    Raises:
        BatchError: nothing gives Azure's storage a key, and there is no identity.
    """
    if kind == "s3":
        return find_s3_credentials(options)
    return find_azure_credentials(options) if kind == "abfss" else None


def find_azure_credentials(options: Mapping[str, str]) -> Credentials | None:
    """This process's Azure identity, which has given a token; None where the options hold a key or name the emulator.

    Raises:
        BatchError: there is no token; said here, where it is clear what was asked.
    """
    if any(map(_AZURE_GIVEN.fullmatch, options)) or options.get(EMULATOR, "").lower() in YES:
        return None
    found = storage_credentials()
    found.token()
    return found


def find_s3_credentials(options: Mapping[str, str]) -> S3Credentials | None:
    """boto3's credentials; None where the options or the environment hold some, or boto3 is absent.

    Raises:
        BatchError: there are none, or they cannot be had; the message says which and what to do.
    """
    if any(name in options for name in _GIVEN):
        return None
    return _ask_boto3()


@cache
def _ask_boto3() -> S3Credentials | None:
    try:
        import boto3  # type: ignore[import-untyped]
    except ImportError:
        return None
    with explaining_access():
        source = boto3.Session().get_credentials()
    if source is None:
        raise NONE.to_error("s3", "boto3 looked in the environment, profiles and the runtime")
    # Those of the environment are read by obstore and delta-rs too, and need no one to renew them.
    return None if source.method == "env" else S3Credentials(source)


@cache
def find_s3_region() -> str | None:
    """The region of the profile; None where boto3 is absent or knows none."""
    try:
        import boto3
    except ImportError:
        return None
    with explaining_access():
        region: str | None = boto3.Session().region_name
    return region

"""Credentials that storage clients do not find by themselves: boto3's own chain for S3, an Azure identity for abfss://.

obstore and delta-rs know fewer runtimes; delta-rs takes no provider, so it is given what is good for some minutes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Protocol

from daily_batch.access import NONE, explaining_access
from daily_batch.errors import Misuse

# boto3 renews what lasts for less than 10 minutes more.
ASKED_AGAIN_AFTER = timedelta(minutes=5)
# What says that nobody needs to be asked.
_GIVEN = ("aws_access_key_id", "aws_skip_signature")
# A storage option of ours: each process, a Spark worker too, then uses its own Azure identity.
IDENTITY = "azure_identity"
YES = ("1", "true", "yes", "on")
_SCOPE = "https://storage.azure.com/.default"


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


@dataclass(frozen=True)
class AzureCredentials:
    """An Azure identity's, which keeps its token and renews it; threads may share it."""

    source: Any = field(repr=False)

    def provide(self) -> dict[str, Any]:
        """See `Credentials.provide`."""
        now = self.source.get_token(_SCOPE)
        return {"token": now.token, "expires_at": datetime.fromtimestamp(now.expires_on, UTC)}

    def as_options(self) -> dict[str, str]:
        """See `Credentials.as_options`."""
        return {"azure_storage_token": self.source.get_token(_SCOPE).token}


def find_credentials(kind: str, options: Mapping[str, str]) -> Credentials | None:
    """Credentials for a kind of storage URL; None where the storage clients need none of us.

    Raises:
        Misuse: an Azure identity is asked for, and azure-identity is not installed.
    """
    if kind == "s3":
        return find_s3_credentials(options)
    if kind == "abfss" and options.get(IDENTITY, "").lower() in YES:
        return _ask_azure()
    return None


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


@cache
def _ask_azure() -> AzureCredentials:
    try:
        from azure.identity import DefaultAzureCredential
    except ImportError as error:
        raise Misuse(
            f"{IDENTITY} needs the package {error.name}", next_step="pip install 'makoto-daily-batch[azure]'"
        ) from error
    return AzureCredentials(DefaultAzureCredential())

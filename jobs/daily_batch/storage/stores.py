"""Storage URLs as what obstore, delta-rs and Spark each need.

Options are named as delta-rs names them (`aws_endpoint_url`, `azure_storage_account_name`, `allow_http`, `timeout`, …).
Credentials that are not among them come from the process's own runtime (`credentials.py`): on AWS by boto3's chain
where there is one, else as obstore and delta-rs find them; on Azure by azure-identity, always.
Measured with obstore 0.12.1: local folders, S3 and Azure list, get and put keys exactly as they are (spaces, `#`, `%`,
`%2F`, `?`, `*`, Japanese), so nothing is escaped on our side; only a backslash comes back as `/` from Azurite.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError
from obstore.store import AzureStore, LocalStore, S3Store

from daily_batch.domain.url import StorageUrl
from daily_batch.errors import TerminalError, UsageError
from daily_batch.storage.credentials import EMULATOR, YES, RenewedOptions, find_credentials, find_s3_region

if TYPE_CHECKING:  # obstore has these names for type checkers only
    from obstore.store import ObjectStore, RetryConfig

# The whole request, its body included: large exports need longer than the libraries' 30 seconds.
CLIENT_DEFAULTS = {"timeout": "300s", "connect_timeout": "5s"}
# Retried with exponential backoff and jitter from 100 ms to 15 s, by obstore and delta-rs alike.
RETRY_DEFAULTS = {"max_retries": "10", "retry_timeout": "180s"}

_CLIENT_OPTIONS = frozenset(
    [
        "allow_http",
        "allow_invalid_certificates",
        "connect_timeout",
        "pool_idle_timeout",
        "pool_max_idle_per_host",
        "proxy_ca_certificate",
        "proxy_excludes",
        "proxy_url",
        "timeout",
        "user_agent",
    ]
)
_CLOUDS = ("aws_", "azure_")
_REGIONS = {"aws_region", "aws_default_region"}


@dataclass(frozen=True, kw_only=True)
class Storage:
    """Where a run reads and writes, and with which options; can be sent to other machines."""

    input: StorageUrl
    output: StorageUrl
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    def open_input(self) -> "ObjectStore":
        """The store of the input root."""
        return open_store(self.input, self.options)

    def open_output(self) -> "ObjectStore":
        """The store of the output root; a missing local folder is made."""
        return open_store(self.output, self.options, create=True)

    def anchored(self) -> "Storage":
        """The same places for a process with another working directory: relative folders become absolute."""
        return replace(self, input=_anchor(self.input), output=_anchor(self.output))


def open_store(url: StorageUrl, options: Mapping[str, str], *, create: bool = False) -> "ObjectStore":
    """The store of a URL, its keys relative to it; `create` makes a missing local folder.

    Raises:
        Terminal: a local folder does not exist. A missing bucket shows at the first request.
        UsageError: an option is unknown or has no sense.
    """
    if url.kind in ("file", "volume"):
        return _open_folder(url, create=create)
    chosen = _options_for(url, options)
    found = find_credentials(url.kind, chosen)
    client = {name: value for name, value in chosen.items() if name in _CLIENT_OPTIONS}
    config = {name: value for name, value in chosen.items() if name not in client and name not in RETRY_DEFAULTS}
    store = S3Store if url.kind == "s3" else AzureStore
    try:
        return store(
            url.bucket,
            prefix=url.path or None,
            config=config,  # type: ignore[arg-type]  # a TypedDict of literals there; the store checks the names
            client_options=client,  # type: ignore[arg-type]
            retry_config=_retry(chosen),
            credential_provider=found and found.provide,  # type: ignore[arg-type]
        )
    except (BaseError, ValueError, TypeError) as error:
        # Only the first line: what follows is obstore's debugging output.
        raise UsageError(
            f"{url} cannot be opened: {str(error).splitlines()[0].rstrip('.')}", next_step="correct storage_options"
        ) from error


def delta_location(url: StorageUrl, options: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
    """The location and the options with which delta-rs opens a table at the URL; read the options at each opening.

    Raises:
        UsageError: delta-rs would take the folder's name for another, or an option has no sense.
    """
    if url.kind in ("file", "volume"):
        folder = str(Path(url.path).absolute())
        # delta-rs 1.6.6 decodes escapes in a local path, reads \ as / and panics on the other characters.
        if re.search(r"%[0-9A-Fa-f]{2}|[\[\]{}<>|^`\\]", folder):
            raise UsageError(
                f"a Delta table cannot lie in {folder!a}",
                next_step=r"choose a folder without %xx [ ] { } < > | ^ ` \ in it",
            )
        return folder, {}
    location = f"s3://{url.bucket}/{url.path}"
    if url.kind == "abfss":
        location = f"abfss://{url.bucket}@{url.account}.dfs.core.windows.net/{url.path}"
    chosen = _options_for(url, options)
    found = find_credentials(url.kind, chosen)
    return location.rstrip("/"), RenewedOptions(chosen, found) if found else chosen


def spark_path(url: StorageUrl) -> str:
    """The path with which Spark reads the URL; `s3a` is what every Spark knows, with or without EMR."""
    match url.kind:
        case "s3":
            return f"s3a://{url.bucket}/{url.path}".rstrip("/")
        case "abfss":
            return str(url)
        case "volume":
            return url.path
        case "file":
            # Hadoop's Path does not decode escapes, so a proper file URI would name another folder.
            return f"file://{Path(url.path).absolute()}"


def _anchor(url: StorageUrl) -> StorageUrl:
    return replace(url, path=str(Path(url.path).absolute())) if url.kind == "file" else url


def _open_folder(url: StorageUrl, *, create: bool) -> LocalStore:
    folder = Path(url.path).absolute()
    if not create and not folder.is_dir():
        raise TerminalError(f"the folder {url} does not exist", next_step="check the URL")
    try:
        return LocalStore(str(folder), mkdir=create)
    except (BaseError, OSError) as error:
        raise TerminalError(f"the folder {url} cannot be opened or made", next_step="check its permissions") from error


def _options_for(url: StorageUrl, options: Mapping[str, str]) -> dict[str, str]:
    """The options that concern the URL's cloud, with the defaults and what follows from the URL."""
    own = "aws_" if url.kind == "s3" else "azure_"
    chosen = CLIENT_DEFAULTS | RETRY_DEFAULTS
    chosen |= {name: value for name, value in options.items() if name.startswith(own) or not name.startswith(_CLOUDS)}
    endpoints = [value for name, value in chosen.items() if "endpoint" in name]
    # An endpoint that says http:// has already said that plain HTTP is meant. AWS_ALLOW_HTTP is the same option.
    allowed = chosen.pop("aws_allow_http", "").lower() in YES
    if allowed or any(endpoint.startswith("http://") for endpoint in endpoints):
        chosen.setdefault("allow_http", "true")
    if url.kind == "abfss":
        return _for_account(url, chosen)
    if not chosen.keys() & _REGIONS and (region := find_s3_region()):
        chosen["aws_region"] = region
    return chosen


def _for_account(url: StorageUrl, chosen: dict[str, str]) -> dict[str, str]:
    if chosen.get(EMULATOR, "").lower() in YES:
        # Both libraries then take the well-known account and AZURITE_BLOB_STORAGE_URL. With account, key and endpoint
        # instead, listing by offset is wrong and Delta tables break after some versions.
        named = ("azure_storage_account", "azure_storage_endpoint", "azure_endpoint")
        return {name: value for name, value in chosen.items() if not name.startswith(named)}
    account = chosen.get("azure_storage_account_name", url.account)
    if account != url.account:
        raise UsageError(
            f"{url} is in another account than the connection string's ({account[:24]!a})",
            next_step="use the connection string of the URL's account",
        )
    return chosen | {"azure_storage_account_name": url.account}


def _retry(chosen: Mapping[str, str]) -> "RetryConfig":
    return {
        "max_retries": int(chosen["max_retries"]),
        "retry_timeout": timedelta(seconds=float(chosen["retry_timeout"].removesuffix("s"))),
    }

"""Open storage URLs with obstore, delta-rs and Spark.

Options have delta-rs' names (`aws_endpoint_url`, `azure_storage_account_name`, `allow_http`, `timeout`, …). Credentials
that are not among them come from the process's runtime (`credentials.py`): on AWS from boto3's chain if boto3 is
installed, else from obstore and delta-rs themselves; on Azure always from azure-identity.
Measured with obstore 0.12.1: local folders, S3 and Azure list, get and put keys exactly as they are (spaces, `#`, `%`,
`%2F`, `?`, `*`, Japanese), so nothing is escaped here; only Azurite returns a backslash as `/`.
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

# obstore writes a local file under such a name and renames it (measured with 0.12.1).
_RESERVED = re.compile(r"#[0-9]+\Z")
# The timeout covers the whole request with its body: large exports need longer than the libraries' 30 seconds.
CLIENT_DEFAULTS = {"timeout": "300s", "connect_timeout": "5s"}
# Both obstore and delta-rs retry with exponential backoff and jitter, from 100 ms to 15 s.
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
    """The input and the output of a run, with storage options. Can be sent to other machines."""

    input: StorageUrl
    output: StorageUrl
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    def open_input(self) -> "ObjectStore":
        """Open the store of the input root."""
        return open_store(self.input, self.options)

    def open_output(self) -> "ObjectStore":
        """Open the store of the output root; create a missing local folder."""
        return open_store(self.output, self.options, create=True)

    def anchored(self) -> "Storage":
        """Return the same locations with absolute folders, for a process with another working directory."""
        return replace(self, input=_anchor(self.input), output=_anchor(self.output))


def open_store(url: StorageUrl, options: Mapping[str, str], *, create: bool = False) -> "ObjectStore":
    """Open the store of a URL; its keys are relative to the URL. `create` creates a missing local folder.

    Raises:
        TerminalError: A local folder does not exist. A missing bucket fails at the first request.
        UsageError: An option is unknown or invalid.
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
            config=config,  # type: ignore[arg-type]  # a TypedDict of literals; the store checks the names
            client_options=client,  # type: ignore[arg-type]
            retry_config=_retry(chosen),
            credential_provider=found and found.provide,  # type: ignore[arg-type]
        )
    except (BaseError, ValueError, TypeError) as error:
        # Only the first line: what follows is obstore's debugging output.
        raise UsageError(
            f"{url} cannot be opened: {str(error).splitlines()[0].rstrip('.')}", next_step="correct storage_options"
        ) from error


def is_reserved(name: str) -> bool:
    """Return whether obstore keeps a local name for itself: it neither lists, reads nor deletes such a file."""
    return _RESERVED.search(name) is not None


def delta_location(url: StorageUrl, options: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
    """Return location and options with which delta-rs opens a table; read the options again for each opening.

    Raises:
        UsageError: delta-rs would misread the folder's name, or an option is invalid.
    """
    if url.kind in ("file", "volume"):
        folder = str(Path(url.path).absolute())
        # delta-rs 1.6.6 decodes escapes in a local path, reads \ as / and panics on the other characters.
        if re.search(r"%[0-9A-Fa-f]{2}|[\[\]{}<>|^`\\]", folder):
            raise UsageError(
                f"a Delta table cannot be stored in {folder!a}",
                next_step=r"choose a folder without %xx [ ] { } < > | ^ ` \ in its name",
            )
        return folder, {}
    location = f"s3://{url.bucket}/{url.path}"
    if url.kind == "abfss":
        location = f"abfss://{url.bucket}@{url.account}.dfs.core.windows.net/{url.path}"
    chosen = _options_for(url, options)
    found = find_credentials(url.kind, chosen)
    return location.rstrip("/"), RenewedOptions(chosen, found) if found else chosen


def spark_path(url: StorageUrl) -> str:
    """Return the path with which Spark reads the URL; every Spark supports `s3a`, with or without EMR."""
    match url.kind:
        case "s3":
            return f"s3a://{url.bucket}/{url.path}".rstrip("/")
        case "abfss":
            return str(url)
        case "volume":
            return url.path
        case "file":
            # Hadoop's Path does not decode escapes: a proper file URI would name another folder.
            return f"file://{Path(url.path).absolute()}"


def _anchor(url: StorageUrl) -> StorageUrl:
    return replace(url, path=str(Path(url.path).absolute())) if url.kind == "file" else url


def _open_folder(url: StorageUrl, *, create: bool) -> LocalStore:
    folder = Path(url.path).absolute()
    if folder.is_file():
        raise TerminalError(f"{url} is a file", next_step="give the folder that holds the tenants' folders")
    if not create and not folder.is_dir():
        raise TerminalError(f"the folder {url} does not exist", next_step="check the path")
    try:
        return LocalStore(str(folder), mkdir=create)
    except (BaseError, OSError) as error:
        raise TerminalError(
            f"the folder {url} cannot be opened or created", next_step="check its permissions"
        ) from error


def _options_for(url: StorageUrl, options: Mapping[str, str]) -> dict[str, str]:
    """Return the options of the URL's cloud, with defaults and the options that the URL implies."""
    own = "aws_" if url.kind == "s3" else "azure_"
    chosen = CLIENT_DEFAULTS | RETRY_DEFAULTS
    chosen |= {name: value for name, value in options.items() if name.startswith(own) or not name.startswith(_CLOUDS)}
    endpoints = [value for name, value in chosen.items() if "endpoint" in name]
    # An http:// endpoint implies plain HTTP. AWS_ALLOW_HTTP is the same option.
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
        # Both libraries then use the well-known account and AZURITE_BLOB_STORAGE_URL. With account, key and endpoint
        # instead, listing by offset is wrong and Delta tables break after some versions.
        named = ("azure_storage_account", "azure_storage_endpoint", "azure_endpoint")
        return {name: value for name, value in chosen.items() if not name.startswith(named)}
    account = chosen.get("azure_storage_account_name", url.account)
    if account != url.account:
        raise UsageError(
            f"{url} is in another account than the connection string ({account[:24]!a})",
            next_step="use the connection string of the URL's account",
        )
    return chosen | {"azure_storage_account_name": url.account}


def _retry(chosen: Mapping[str, str]) -> "RetryConfig":
    return {
        "max_retries": int(chosen["max_retries"]),
        "retry_timeout": timedelta(seconds=float(chosen["retry_timeout"].removesuffix("s"))),
    }

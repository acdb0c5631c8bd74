"""Options of the storage clients: their setting, and the usual variables of AWS and Azure that stand for them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from daily_batch.domain.setting import Setting
from daily_batch.errors import UsageError

# The only storage options that jobs get: keys and addresses belong to each runtime.
JOB_OPTIONS = ("aws_server_side_encryption", "aws_sse_kms_key_id", "aws_sse_bucket_key_enabled", "aws_request_payer")
# Of two variables for one option, the later one wins.
_VARIABLES = {
    "AWS_DEFAULT_REGION": "aws_region",
    "AWS_REGION": "aws_region",
    "AWS_ENDPOINT_URL": "aws_endpoint_url",
    "AWS_ENDPOINT_URL_S3": "aws_endpoint_url",
    **{
        name: name.lower()
        for name in (
            *("AWS_ALLOW_HTTP", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "AWS_SKIP_SIGNATURE", "AWS_REQUEST_PAYER"),
            *("AWS_SERVER_SIDE_ENCRYPTION", "AWS_SSE_KMS_KEY_ID", "AWS_SSE_BUCKET_KEY_ENABLED"),
            *("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_USE_EMULATOR"),
            # The libraries read these, too; listed here, they are known to stand for an identity.
            *("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_SKIP_SIGNATURE"),
        )
    },
}
_CONNECTION_STRING = "AZURE_STORAGE_CONNECTION_STRING"


@dataclass(frozen=True, kw_only=True)
class StorageClients:
    """Storage clients (docs/access.md).

    `storage_options` is a table of the options of obstore and delta-rs by their names: `aws_endpoint_url`,
    `allow_http`, `timeout`, …; JSON in `MAKOTO_STORAGE_OPTIONS`. The usual `AWS_*` variables and
    `AZURE_STORAGE_CONNECTION_STRING` add to it.
    """

    storage_options: Annotated[
        Mapping[str, str],
        Setting(
            f"Options of the storage clients. Jobs get {', '.join(f'`{each}`' for each in JOB_OPTIONS)}.", job=True
        ),
    ] = field(default_factory=dict, repr=False)


def read_options(environ: Mapping[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each variable that is set, with the options that it stands for; a later one overrides an earlier one.

    Raises:
        UsageError: The connection string names no account.
    """
    for variable, option in _VARIABLES.items():
        if environ.get(variable):
            yield variable, {option: environ[variable]}
    if environ.get(_CONNECTION_STRING):
        yield _CONNECTION_STRING, parse_connection_string(environ[_CONNECTION_STRING])


def parse_connection_string(text: str) -> dict[str, str]:
    """Parse an Azure Storage connection string into storage options.

    Raises:
        UsageError: It names no account; the message does not repeat it.
    """
    parts = dict(part.strip().split("=", 1) for part in text.split(";") if "=" in part)
    endpoint = parts.get("BlobEndpoint", "").rstrip("/")
    host = re.match(r"https?://([a-z0-9]+)\.blob\.", endpoint)
    account = parts.get("AccountName") or (host[1] if host else "")
    if parts.get("UseDevelopmentStorage", "").lower() == "true" or account == "devstoreaccount1":
        return {"azure_storage_use_emulator": "true"}
    if not account:
        raise UsageError(
            "AZURE_STORAGE_CONNECTION_STRING names no account", next_step="copy it from the storage account"
        )
    options = {
        "azure_storage_account_name": account,
        "azure_storage_account_key": parts.get("AccountKey", ""),
        "azure_storage_sas_key": parts.get("SharedAccessSignature", ""),
        "azure_storage_endpoint": "" if endpoint == f"https://{account}.blob.core.windows.net" else endpoint,
    }
    return {name: value for name, value in options.items() if value}

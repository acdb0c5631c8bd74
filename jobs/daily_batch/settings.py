"""Settings, each with where it came from: flags over the environment over conf/<env>.toml over conf/defaults.toml.

The only module that reads the environment, which it is given. Fields are documented in conf/defaults.toml.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, get_type_hints

import msgspec

from daily_batch.domain.calendar import load_zone
from daily_batch.domain.keys import check_export_template
from daily_batch.domain.quality_rules import Expectations, read_expectations
from daily_batch.domain.run import Limits, TableFormat
from daily_batch.errors import UsageError

Count = Annotated[int, msgspec.Meta(ge=1)]
CountOrZero = Annotated[int, msgspec.Meta(ge=0)]
Ratio = Annotated[float, msgspec.Meta(ge=0, le=1)]

PREFIX = "MAKOTO_"
_QUALITY = "quality."
DEFAULTS = "defaults.toml"
GUIDE_TENANTS = ("default_tenant",)
# What a job elsewhere must know beside its arguments, so that it reads and judges a day as its submitter does.
_FOR_JOBS = (
    *("timezone", "naive_timezone", "export_template", "discovery", "slack_seconds"),
    *("max_reject_ratio", "max_unreadable_ratio", "min_rows_ratio"),
    *("buckets", "target_file_bytes", *(each.name for each in fields(Limits)), "dynamodb_table", "cosmos_endpoint"),
    *("catalog", "look_first"),
)
# How objects are written and paid for; keys and addresses are of each runtime's own.
_OPTIONS_FOR_JOBS = (
    *("aws_server_side_encryption", "aws_sse_kms_key_id", "aws_sse_bucket_key_enabled", "aws_request_payer"),
)
_OURS_BUT_NO_SETTINGS = ("MAKOTO_ENV", "MAKOTO_CONF_DIR")
_MASK = "********"
_SECRET = re.compile(r"(key|secret|token|password|base64|access_key_id)$")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set. `origins` says where each value came from."""

    tenants: tuple[str, ...]
    date: str
    target_date_offset: int
    timezone: str
    naive_timezone: str
    input: str
    output: str
    layout: Literal["auto", "messages", "export"]
    export_template: str
    table_format: TableFormat
    discovery: Literal["listing", "metadata"]
    slack_seconds: CountOrZero
    buckets: CountOrZero
    target_file_bytes: Count
    max_record_bytes: Count
    max_object_bytes: Count
    max_expansion_ratio: Count
    max_depth: Count
    max_raw_bytes: CountOrZero
    fetch_concurrency: Count
    memory_bytes: Count
    max_reject_ratio: Ratio
    max_unreadable_ratio: Ratio
    min_rows_ratio: Ratio
    quality: Expectations
    runner: Literal["auto", "local", "spark"]
    small_messages: CountOrZero
    large_messages: CountOrZero
    function_memory_mb: CountOrZero
    time_limit_seconds: CountOrZero
    spark: Literal["here", "spark-submit", "emr-serverless", "databricks"]
    job_wait_minutes: Annotated[int, msgspec.Meta(ge=1, le=10_080)]
    job_timeout_minutes: Annotated[int, msgspec.Meta(ge=1, le=10_080)]
    look_first: bool
    max_attempts: Count
    emr_application_id: str
    emr_job_role_arn: str
    emr_package: str
    emr_python: Annotated[str, msgspec.Meta(pattern=r"^3\.[0-9]{1,2}$")]
    emr_log_group: str
    emr_vcpus: Count
    kms_key_arn: str
    databricks_host: str
    databricks_job: str
    databricks_auth: Literal["entra", "sdk"]
    databricks_client_id: str
    catalog: Annotated[str, msgspec.Meta(pattern=r"^([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)?$")]
    look_back: Annotated[int, msgspec.Meta(ge=0, le=366)]
    max_range_days: Count
    queue_url: str
    ledger: str
    # Bounded so that a lease that lies further ahead is known to be of a wrong clock (daily_batch.ledger.entry).
    lease_seconds: Annotated[int, msgspec.Meta(ge=1, le=3_600)]
    due: Annotated[str, msgspec.Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    drift_minutes: CountOrZero
    unusual_factor: Annotated[float, msgspec.Meta(ge=1)]
    unusual_floor: CountOrZero
    retention_days: CountOrZero
    maintain_spark_bytes: Count
    dynamodb_table: str
    cosmos_endpoint: str
    cosmos_key: str = field(repr=False)
    storage_options: Mapping[str, str] = field(repr=False)
    origins: Mapping[str, str] = field(repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what has the right type and still no sense."""
        load_zone(self.timezone)
        load_zone(self.naive_timezone)
        check_export_template(self.export_template)

    @property
    def names_tenants(self) -> bool:
        """Whether somebody has named the tenants: the guide's default stands in for deployments, never for a person."""
        return self.tenants != GUIDE_TENANTS or not self.origins.get("tenants", DEFAULTS).endswith(DEFAULTS)

    @property
    def limits(self) -> Limits:
        """The bounds that the kernel keeps."""
        return Limits(**{each.name: getattr(self, each.name) for each in fields(Limits)})

    def for_job(self, *, tenant: str) -> dict[str, object]:
        """What a tenant's job elsewhere must be told: settings that were given here, and no argument of it carries."""
        told: dict[str, object] = {
            name: getattr(self, name) for name in _FOR_JOBS if self.origins.get(name, DEFAULTS) != DEFAULTS
        }
        if any(place.startswith(_QUALITY) and origin != DEFAULTS for place, origin in self.origins.items()):
            told["quality"] = self.quality.only_of(tenant)
        options = {name: value for name, value in self.storage_options.items() if name in _OPTIONS_FOR_JOBS}
        return told | ({"storage_options": options} if options else {})

    def explain(self) -> list[tuple[str, str, str]]:
        """Each setting as name, value and origin, secrets masked; storage options one by one."""
        plain = {name: getattr(self, name) for name in _TYPES if name not in ("storage_options", "quality")}
        plain |= {_QUALITY + place: "off" if rule is None else rule for place, rule in self.quality.by_place()}
        plain |= {_option(name): value for name, value in self.storage_options.items()}
        return [(name, _show(name, value), self.origins.get(name, "-")) for name, value in plain.items()]


_TYPES = {name: hint for name, hint in get_type_hints(Settings, include_extras=True).items() if name != "origins"}


class _Given(NamedTuple):
    name: str
    value: object
    origin: str


def load_settings(
    *, flags: Mapping[str, object], environ: Mapping[str, str], conf_dir: Path | None = None, env: str | None = None
) -> Settings:
    """Put the settings together.

    Args:
        flags: values by setting; None is a flag that was not given. Text is read as in the environment.
        environ: the environment.
        conf_dir: where defaults.toml and <env>.toml are; without it MAKOTO_CONF_DIR, else the package's own defaults.
        env: name of the environment, such as prod; without it MAKOTO_ENV, else none.

    Raises:
        UsageError: a name is unknown or a value has the wrong type; the message names the origin, and no secret.
    """
    quality = Expectations()
    values: dict[str, object] = {"storage_options": {}}
    origins: dict[str, str] = {}
    for given in (*_from_files(environ, conf_dir, env), *_from_environment(environ), *_from_flags(flags)):
        value = _convert(given)
        if isinstance(value, Expectations):
            quality = value.over(quality)
            origins |= {_QUALITY + place: given.origin for place, _ in value.by_place()}
        elif isinstance(value, dict):
            values["storage_options"] = {**_mapping(values["storage_options"]), **value}
            origins |= {_option(name): given.origin for name in value}
        else:
            values[given.name] = value
            origins[given.name] = given.origin
    values["quality"] = quality
    return Settings(**values, origins=origins)  # type: ignore[arg-type]  # each was converted to its field's type


def _from_files(environ: Mapping[str, str], conf_dir: Path | None, env: str | None) -> Iterator[_Given]:
    yield from _from_toml(resources.files("daily_batch") / DEFAULTS, DEFAULTS)
    folder = conf_dir or (Path(environ["MAKOTO_CONF_DIR"]) if environ.get("MAKOTO_CONF_DIR") else None)
    name = env or environ.get("MAKOTO_ENV", "")
    if folder and (folder / "defaults.toml").exists():
        yield from _from_toml(folder / "defaults.toml", f"{folder.name}/defaults.toml")
    if name and (folder is None or re.fullmatch(r"[a-z0-9_-]+", name) is None):
        raise UsageError(
            f"there are no settings for the environment {name[:40]!a}",
            next_step="give the conf folder (MAKOTO_CONF_DIR) and the name of a file in it, such as prod",
        )
    if name and folder:
        yield from _from_toml(folder / f"{name}.toml", f"{folder.name}/{name}.toml")


def _from_toml(file: Traversable, origin: str) -> Iterator[_Given]:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{origin} cannot be read: {type(error).__name__}", next_step="correct the file") from error
    return (_Given(name, value, origin) for name, value in table.items())


def _from_flags(flags: Mapping[str, object]) -> Iterator[_Given]:
    names = {"tenants": "--tenant", "table_format": "--format"}
    for name, value in flags.items():
        if value is not None:
            flag = names.get(name, "--" + name.replace("_", "-"))
            yield _Given(name, _read_text(name, value), f"flag {flag}")


# The guide's variables, and those that AWS's and Azure's own tools know. A later one wins over an earlier one.
_VARIABLES = {
    "TENANT_ID": "tenants",
    "TARGET_DATE_OFFSET": "target_date_offset",
    "BATCH_TIMEZONE": "timezone",
    "NAIVE_TIMEZONE": "naive_timezone",
    "DYNAMODB_TABLE_NAME": "dynamodb_table",
    "COSMOS_ENDPOINT": "cosmos_endpoint",
    "COSMOS_KEY": "cosmos_key",
    "DATABRICKS_HOST": "databricks_host",
}
_OPTION_VARIABLES = {
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
            # The libraries would read them too; named here, they are known to stand for an identity.
            *("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_SKIP_SIGNATURE"),
        )
    },
}


def _from_environment(environ: Mapping[str, str]) -> Iterator[_Given]:
    for variable, option in _OPTION_VARIABLES.items():
        if environ.get(variable):
            yield _Given("storage_options", {option: environ[variable]}, variable)
    if connection := environ.get("AZURE_STORAGE_CONNECTION_STRING"):
        yield _Given("storage_options", parse_connection_string(connection), "AZURE_STORAGE_CONNECTION_STRING")
    if bucket := environ.get("S3_BUCKET_NAME"):
        yield from (_Given(name, f"s3://{bucket}", "S3_BUCKET_NAME") for name in ("input", "output"))
    ours = {variable: variable.removeprefix(PREFIX).lower() for variable in environ if variable.startswith(PREFIX)}
    for variable, name in (_VARIABLES | ours).items():
        # An empty variable is one that is not set, except for tenants: nothing must run for a default by mistake.
        set_ = variable in environ and (environ[variable] or name == "tenants")
        if set_ and variable not in _OURS_BUT_NO_SETTINGS:
            yield _Given(name, _read_text(name, environ[variable]), variable)


def parse_connection_string(text: str) -> dict[str, str]:
    """Azure Storage's connection string as storage options.

    Raises:
        UsageError: it names no account; the message does not repeat it.
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


def _read_text(name: str, value: object) -> object:
    """A value as written in a variable or a flag: lists with commas, tables as JSON, numbers as text."""
    if not isinstance(value, str):
        return str(value) if isinstance(value, Path) else value
    if name == "tenants":
        # Only spaces: a line end is part of no tenant's name, and is refused with it.
        return tuple(dict.fromkeys(tenant.strip(" ") for tenant in value.split(",")))
    return msgspec.Raw(value.encode()) if name in ("storage_options", "quality") else value


def _convert(given: _Given) -> object:
    if given.name not in _TYPES:
        raise UsageError(
            f"{given.origin} sets {given.name[:60]!a}, which is no setting",
            next_step="see conf/defaults.toml for the names",
        )
    try:
        if given.name == "quality":
            return read_expectations(_table(given.value))
        if isinstance(given.value, msgspec.Raw):
            return msgspec.json.decode(given.value, type=dict[str, str])
        from_file = given.origin.endswith(".toml")
        return msgspec.convert(given.value, _TYPES[given.name], strict=from_file)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UsageError(f"{given.name} from {given.origin}: {error}", next_step="see conf/defaults.toml") from error


def _table(value: object) -> dict[str, object]:
    if isinstance(value, msgspec.Raw):
        return msgspec.json.decode(value, type=dict[str, object])
    return msgspec.convert(value, dict[str, object])


def _mapping(value: object) -> Mapping[str, str]:
    return msgspec.convert(value, dict[str, str])


def _option(name: str) -> str:
    return f"storage_options.{name}"


def _show(name: str, value: object) -> str:
    secret = _SECRET.search(name) or (name.startswith("storage_options.") and "@" in str(value))
    if secret and value:
        return _MASK
    return ", ".join(value) if isinstance(value, tuple) else str(value)

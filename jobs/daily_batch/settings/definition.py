"""`Settings`, all groups together, and the definitions that documentation, help and jobs derive from."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

import msgspec

from daily_batch.domain.calendar import load_zone
from daily_batch.domain.keys import check_export_template
from daily_batch.domain.run import Limits
from daily_batch.domain.setting import Setting
from daily_batch.settings.groups import (
    Databricks,
    EmrServerless,
    InputAndOutput,
    LedgerAndMetadata,
    Maintenance,
    Monitoring,
    Notifications,
    Orchestration,
    Partitioning,
    Quality,
    Routing,
    SparkJobs,
    TenantsAndDays,
)
from daily_batch.settings.storage_options import JOB_OPTIONS, StorageClients

# The origin of values that were not given, and the file that supplies them (daily_batch.settings.load).
DEFAULT, DEFAULTS_FILE = "default", "defaults.toml"
QUALITY = "quality."
_MASK = "********"
_SECRET = re.compile(r"(key|secret|token|password|base64|access_key_id|notify_url)$")


@dataclass(frozen=True, kw_only=True)
class Settings(
    TenantsAndDays,
    InputAndOutput,
    Partitioning,
    Limits,
    Quality,
    Routing,
    SparkJobs,
    EmrServerless,
    Databricks,
    Orchestration,
    LedgerAndMetadata,
    Monitoring,
    Notifications,
    Maintenance,
    StorageClients,
):
    """The settings of a process. `origins` holds the source of each value that was given."""

    origins: Mapping[str, str] = field(repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Raise a UsageError for values that have the right type but are invalid."""
        load_zone(self.timezone)
        load_zone(self.naive_timezone)
        check_export_template(self.export_template)

    @property
    def names_tenants(self) -> bool:
        """Whether tenants were given explicitly: the default tenant is for deployments only."""
        given = not self.origins.get("tenants", DEFAULTS_FILE).endswith(DEFAULTS_FILE)
        return given or self.tenants != TenantsAndDays.tenants

    @property
    def limits(self) -> Limits:
        """The limits on input and memory."""
        return Limits(**{each.name: getattr(self, each.name) for each in fields(Limits)})

    def for_job(self, *, tenant: str) -> dict[str, object]:
        """Return the given settings, by name, that a tenant's job needs and no argument of it carries."""
        values = {
            each.name: getattr(self, each.name) for each in DEFINITIONS if each.meta.job and each.name in self.origins
        }
        if any(name.startswith(QUALITY) for name in self.origins):
            values["quality"] = self.quality.only_for(tenant)
        options = {name: value for name, value in self.storage_options.items() if name in JOB_OPTIONS}
        return values | ({"storage_options": options} if options else {})

    def explain(self) -> list[tuple[str, str, str]]:
        """Return each setting as name, value and origin, with secrets masked; quality rules and options one by one."""
        return [(name, _mask(name, value), self.origins.get(name, DEFAULT)) for name, value in self._flatten()]

    def _flatten(self) -> Iterator[tuple[str, object]]:
        for name in (each.name for each in DEFINITIONS):
            if name == "quality":
                yield from ((QUALITY + path, "off" if rule is None else rule) for path, rule in self.quality.flatten())
            elif name == "storage_options":
                yield from ((option_name(option), value) for option, value in self.storage_options.items())
            else:
                yield name, getattr(self, name)


class Definition(NamedTuple):
    """One setting as it is defined."""

    name: str
    group: type
    type: Any
    meta: Setting
    default: object

    @property
    def hint(self) -> Any:
        """The type, with its bounds, to which msgspec converts values."""
        return Annotated[self.type, msgspec.Meta(**self.meta.bounds)] if self.meta.bounds else self.type


def _read_definitions(group: type) -> Iterator[Definition]:
    hints = get_type_hints(group, include_extras=True)
    for each in fields(group):
        bare, meta = get_args(hints[each.name])
        yield Definition(each.name, group, bare, meta, each.default)


GROUPS = Settings.__bases__
DEFINITIONS = tuple(each for group in GROUPS for each in _read_definitions(group))


def option_name(option: str) -> str:
    """Return the name under which the origin of a storage option is kept."""
    return f"storage_options.{option}"


def _mask(name: str, value: object) -> str:
    secret = _SECRET.search(name) or (name.startswith("storage_options.") and "@" in str(value))
    if secret and value:
        return _MASK
    return ", ".join(value) if isinstance(value, tuple) else str(value)

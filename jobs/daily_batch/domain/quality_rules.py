"""Quality rules of a tenant's day: the table `[quality]` of the configuration (docs/quality.md)."""

import math
from collections.abc import Iterator, Mapping
from typing import Literal, TypeVar

import msgspec

from daily_batch.domain.codes import Flag
from daily_batch.domain.keys import is_tenant

Severity = Literal["warn", "fail"]
Value = TypeVar("Value")

VOLUMES = ("min_messages", "max_messages")
# These limit a number; all other rules limit a ratio.
COUNTS = (*VOLUMES, "max_unknown_fields")
OF_FLAGS = {f"max_{flag}": flag for flag in Flag}
RULES = (
    *COUNTS,
    *("max_rejected", "max_unreadable", "max_duplicates", "max_superseded", "max_late", "max_other_roles"),
    *OF_FLAGS,
)
# The parameter that a rule requires beside its limit; no other rule accepts it.
_PARAMETERS = {"max_late": "minutes", "max_other_roles": "allowed"}


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A limit on one measurement of a day.

    An object is late if it was stored more than `minutes` after it was sent; `allowed` are the roles that do not count
    as other roles.
    """

    limit: int | float
    severity: Severity = "warn"
    minutes: int | None = None
    allowed: tuple[str, ...] | None = None

    def __str__(self) -> str:
        """Return a short form for `--show-config`."""
        more = f", {self.minutes} minutes" if self.minutes else ""
        more += f", {' '.join(self.allowed)}" if self.allowed else ""
        return f"{self.limit:g} {self.severity}{more}"


# None removes the rule that a more general table sets.
Rules = dict[str, Rule | None]


class QualityRules(msgspec.Struct, frozen=True):
    """The rules for all tenants, and by tenant id the rules that replace them."""

    rules: Rules = {}
    tenants: dict[str, Rules] = {}

    def override(self, base: "QualityRules") -> "QualityRules":
        """Return `base` with each rule of this table in its place."""
        names = base.tenants | self.tenants
        tenants = {name: base.tenants.get(name, {}) | self.tenants.get(name, {}) for name in names}
        return QualityRules(base.rules | self.rules, tenants)

    def rules_for(self, tenant: str) -> dict[str, Rule]:
        """Return the rules that apply to a tenant."""
        return {name: rule for name, rule in self._all_of(tenant).items() if rule is not None}

    def only_for(self, tenant: str) -> dict[str, object]:
        """Return a table, as plain JSON values, that gives one tenant exactly its rules of here over any defaults."""
        rules = {name: msgspec.to_builtins(rule) if rule else False for name, rule in self._all_of(tenant).items()}
        return {"tenants": {tenant: rules}}

    def flatten(self) -> Iterator[tuple[str, Rule | None]]:
        """Yield each rule with its path in the table."""
        yield from self.rules.items()
        for tenant, rules in self.tenants.items():
            yield from ((f"tenants.{tenant}.{name}", rule) for name, rule in rules.items())

    def _all_of(self, tenant: str) -> Rules:
        return self.rules | self.tenants.get(tenant, {})


def parse_quality_rules(table: Mapping[str, object]) -> QualityRules:
    """Parse the table `quality` of a file or an environment variable.

    Raises:
        ValueError: A rule is unknown, a limit is invalid, or a name is not a tenant id; the message says which.
    """
    try:
        tenants = msgspec.convert(table.get("tenants", {}), dict[str, dict[str, object]])
    except msgspec.ValidationError as error:
        raise ValueError(f"tenants: {error}; give a table of rules for each tenant") from error
    for tenant in tenants:
        if not is_tenant(tenant):
            raise ValueError(f"tenants: {tenant[:80]!a} is not a tenant id")
    return QualityRules(
        _read_rules({name: value for name, value in table.items() if name != "tenants"}, ""),
        {tenant: _read_rules(rules, f"tenants.{tenant}.") for tenant, rules in tenants.items()},
    )


def _read_rules(table: Mapping[str, object], place: str) -> Rules:
    return {name: _read_rule(name, value, place) for name, value in table.items()}


def _read_rule(name: str, value: object, place: str) -> Rule | None:
    if name not in RULES:
        raise ValueError(f"{place}{name[:60]!a} is not a rule")
    if value is False:
        return None
    try:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        rule = msgspec.convert({"limit": value} if number else value, Rule)
    except msgspec.ValidationError as error:
        raise ValueError(f"{place}{name}: {error}; give a limit, a table with one, or false") from error
    if problem := _find_problem(name, rule):
        raise ValueError(f"{place}{name}: {problem}")
    return rule


def _find_problem(name: str, rule: Rule) -> str | None:
    if name in COUNTS:
        if not isinstance(rule.limit, int) or rule.limit < 0:
            return f"the limit must be a whole number of {'messages' if name in VOLUMES else 'fields'}, 0 or more"
    elif not (math.isfinite(rule.limit) and 0 <= rule.limit <= 1):
        return "the limit must be a ratio from 0 to 1"
    for parameter in _PARAMETERS.values():
        value, required = getattr(rule, parameter), _PARAMETERS.get(name) == parameter
        if required and not value:
            return f"{parameter} must be given"
        if value is not None and not required:
            return f"this rule does not accept {parameter}"
    if rule.minutes is not None and rule.minutes < 1:
        return "minutes must be 1 or more"
    return None

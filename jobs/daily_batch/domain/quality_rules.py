"""What is expected of a tenant's day: the rules of `[quality]` in conf (docs/quality.md), layer over layer. Pure."""

import math
from collections.abc import Iterator, Mapping
from typing import Literal, TypeVar

import msgspec

from daily_batch.domain.contract import Flag
from daily_batch.domain.keys import is_tenant

Severity = Literal["warn", "fail"]
Value = TypeVar("Value")

# Bounds of a number of messages; all others bound a share.
VOLUMES = ("min_messages", "max_messages")
OF_FLAGS = {f"max_{flag}": flag for flag in Flag}
RULES = (
    *VOLUMES,
    *("max_rejected", "max_unreadable", "max_duplicates", "max_superseded", "max_late", "max_other_roles"),
    *OF_FLAGS,
)
# What a rule must be told beside its limit, and no other rule may be.
_PARAMETERS = {"max_late": "minutes", "max_other_roles": "allowed"}


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One bound on a day. `minutes` after it was sent an object is late; `allowed` are the roles that are no others."""

    limit: int | float
    severity: Severity = "warn"
    minutes: int | None = None
    allowed: tuple[str, ...] | None = None

    def __str__(self) -> str:
        """As short as a list of settings needs it."""
        more = f", {self.minutes} minutes" if self.minutes else ""
        more += f", {' '.join(self.allowed)}" if self.allowed else ""
        return f"{self.limit:g} {self.severity}{more}"


# None lifts what a wider table sets.
Rules = dict[str, Rule | None]


class Expectations(msgspec.Struct, frozen=True):
    """The rules of every tenant, and those that a tenant has in their place, by name."""

    rules: Rules = {}
    tenants: dict[str, Rules] = {}

    def over(self, wider: "Expectations") -> "Expectations":
        """Both, rule by rule; where both have one, it is this one's."""
        names = wider.tenants | self.tenants
        tenants = {name: wider.tenants.get(name, {}) | self.tenants.get(name, {}) for name in names}
        return Expectations(wider.rules | self.rules, tenants)

    def rules_of(self, tenant: str) -> dict[str, Rule]:
        """The rules that a tenant's days are judged by."""
        return {name: rule for name, rule in self._all_of(tenant).items() if rule is not None}

    def only_of(self, tenant: str) -> dict[str, object]:
        """What gives one tenant these rules and no others, wherever it is read, as plain values for JSON."""
        rules = {name: msgspec.to_builtins(rule) if rule else False for name, rule in self._all_of(tenant).items()}
        return {"tenants": {tenant: rules}}

    def by_place(self) -> Iterator[tuple[str, Rule | None]]:
        """Each rule with where it stands in the table."""
        yield from self.rules.items()
        for tenant, rules in self.tenants.items():
            yield from ((f"tenants.{tenant}.{name}", rule) for name, rule in rules.items())

    def _all_of(self, tenant: str) -> Rules:
        return self.rules | self.tenants.get(tenant, {})


def read_expectations(table: Mapping[str, object]) -> Expectations:
    """The table `quality` of a file or a variable.

    Raises:
        ValueError: an unknown rule, a limit without sense, or a name that is no tenant's; the message says which.
    """
    try:
        tenants = msgspec.convert(table.get("tenants", {}), dict[str, dict[str, object]])
    except msgspec.ValidationError as error:
        raise ValueError(f"tenants: {error}; give a table of rules for each tenant") from error
    for tenant in tenants:
        if not is_tenant(tenant):
            raise ValueError(f"tenants: {tenant[:80]!a} is no tenant's id")
    return Expectations(
        _read_rules({name: value for name, value in table.items() if name != "tenants"}, ""),
        {tenant: _read_rules(rules, f"tenants.{tenant}.") for tenant, rules in tenants.items()},
    )


def _read_rules(table: Mapping[str, object], place: str) -> Rules:
    return {name: _read_rule(name, value, place) for name, value in table.items()}


def _read_rule(name: str, value: object, place: str) -> Rule | None:
    if name not in RULES:
        raise ValueError(f"{place}{name[:60]!a} is no rule")
    if value is False:
        return None
    try:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        rule = msgspec.convert({"limit": value} if number else value, Rule)
    except msgspec.ValidationError as error:
        raise ValueError(f"{place}{name}: {error}; give a limit, a table with one, or false") from error
    if wrong := _find_fault(name, rule):
        raise ValueError(f"{place}{name}: {wrong}")
    return rule


def _find_fault(name: str, rule: Rule) -> str | None:
    if name in VOLUMES:
        if not isinstance(rule.limit, int) or rule.limit < 0:
            return "the limit must be a whole number of messages, from 0 on"
    elif not (math.isfinite(rule.limit) and 0 <= rule.limit <= 1):
        return "the limit must be a share from 0 to 1"
    for parameter in _PARAMETERS.values():
        given, asked = getattr(rule, parameter), _PARAMETERS.get(name) == parameter
        if asked and not given:
            return f"{parameter} must be given"
        if given is not None and not asked:
            return f"{parameter} is nothing that this rule takes"
    if rule.minutes is not None and rule.minutes < 1:
        return "minutes must be 1 or more"
    return None

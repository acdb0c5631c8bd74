"""Read a CloudFormation template and resolve its parameters, conditions and intrinsic functions to plain data.

Only the functions that template.yaml uses are supported; any other is an error.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from daily_batch.errors import UsageError
from tests.local_cloud.aws.resource_names import Names

_VARIABLE = re.compile(r"\$\{(!?)([A-Za-z0-9:.]+)\}")
# Stands for AWS::NoValue until the list or mapping around it drops it.
_NOTHING = object()


class _Loader(yaml.SafeLoader):
    """A YAML loader for CloudFormation's short tags."""


def _construct_tag(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        raise ValueError(f"!{suffix} of a mapping is not supported")  # noqa: TRY004  # like any other unsupported function
    if suffix in ("Ref", "Condition"):
        return {suffix: value}
    return {f"Fn::{suffix}": value.split(".", 1) if suffix == "GetAtt" else value}


_Loader.add_multi_constructor("!", _construct_tag)


@cache
def load_template(path: Path) -> Mapping[str, Any]:
    """Return the template with short tags in their long form, such as `{"Fn::Sub": …}`; read-only."""
    document: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506  # it is a SafeLoader
    return document


def choose_parameters(document: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, str]:
    """Return the value of each parameter, from `values` or its default.

    Raises:
        UsageError: a name is unknown, or a value is missing or not allowed.
    """
    declared: Mapping[str, Mapping[str, Any]] = document["Parameters"]
    if unknown := sorted(set(values) - set(declared)):
        raise UsageError(f"the template has no parameter {unknown[0]!a}", next_step="see Parameters in template.yaml")
    chosen = {name: values.get(name, spec.get("Default")) for name, spec in declared.items()}
    for name, spec in declared.items():
        if chosen[name] is None or not _is_allowed(str(chosen[name]), spec):
            step = spec.get("ConstraintDescription", spec["Description"])
            raise UsageError(f"the template does not allow this value of {name}", next_step=f"set it to {step}")
    return {name: str(value) for name, value in chosen.items()}


def _is_allowed(value: str, spec: Mapping[str, Any]) -> bool:
    if "AllowedValues" in spec:
        return value in map(str, spec["AllowedValues"])
    if spec["Type"] != "Number":
        return re.fullmatch(spec.get("AllowedPattern", "(?s:.*)"), value) is not None
    return re.fullmatch("-?[0-9]+", value) is not None and spec["MinValue"] <= int(value) <= spec["MaxValue"]


@dataclass(frozen=True)
class Scope:
    """Resolve a template's functions with the values of parameters and the names of resources."""

    conditions: Mapping[str, Any]
    parameters: Mapping[str, str]
    names: Names

    def holds(self, condition: str) -> bool:
        """Return whether a condition holds."""
        return bool(self.resolve(self.conditions[condition]))

    def resolve(self, value: Any) -> Any:
        """Return the value with all functions resolved.

        Raises:
            ValueError: the value uses an unsupported function.
        """
        if isinstance(value, list):
            return [each for each in map(self.resolve, value) if each is not _NOTHING]
        if not isinstance(value, Mapping):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            # In a policy statement the value of Condition is a mapping, in a template a condition's name.
            if name == "Ref" or name.startswith("Fn::") or (name == "Condition" and isinstance(argument, str)):
                return self._call(name, argument)
        resolved = {name: self.resolve(each) for name, each in value.items()}
        return {name: each for name, each in resolved.items() if each is not _NOTHING}

    def _call(self, name: str, argument: Any) -> Any:
        if name == "Ref":
            return self._refer(argument)
        if name == "Condition":
            return self.holds(argument)
        if name == "Fn::GetAtt":
            logical_id, attribute = argument
            return self.names.attribute(logical_id, attribute, self.resolve)
        if name == "Fn::If":
            return self.resolve(argument[1] if self.holds(argument[0]) else argument[2])
        if name == "Fn::Sub":
            text, variables = (argument, {}) if isinstance(argument, str) else argument
            return self._substitute(text, self.resolve(variables))
        return _apply(name, self.resolve(argument))

    def _refer(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NOTHING
        return self.parameters[name] if name in self.parameters else self.names.reference(name, self.resolve)

    def _substitute(self, text: str, variables: Mapping[str, str]) -> str:
        def replace(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return f"${{{name}}}"
            if name in variables:
                return variables[name]
            logical_id, dot, attribute = name.partition(".")
            return str(self.names.attribute(logical_id, attribute, self.resolve) if dot else self._refer(name))

        return _VARIABLE.sub(replace, text)


def _apply(name: str, argument: Any) -> Any:
    if name == "Fn::Equals":
        return argument[0] == argument[1]
    if name == "Fn::Not":
        return not argument[0]
    if name == "Fn::And":
        return all(argument)
    raise ValueError(f"{name} is not supported")

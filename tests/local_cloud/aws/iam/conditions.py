"""Evaluate the conditions of IAM statements that our policies use."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

Context = Mapping[str, str | Sequence[str]]

# In lower case, for condition keys are case-insensitive.
_KEYS = frozenset(
    [
        "aws:securetransport",
        "aws:sourceaccount",
        "aws:sourcearn",
        "aws:tagkeys",
        "dynamodb:leadingkeys",
        "iam:passedtoservice",
        "kms:viaservice",
        "s3:prefix",
    ]
)
# Multivalued keys, which need ForAllValues or ForAnyValue.
_MANY = frozenset(["aws:tagkeys", "dynamodb:leadingkeys"])
_OPERATOR = re.compile(r"(?:(ForAllValues|ForAnyValue):)?([A-Za-z]+?)(IfExists)?")


def is_like(pattern: str, text: str) -> bool:
    """Return whether a text matches a pattern, in which `*` is any text and `?` any one character."""
    return _compile(pattern).fullmatch(text) is not None


@lru_cache(maxsize=4096)
def _compile(pattern: str) -> re.Pattern[str]:
    parts = (".*" if part == "*" else "." if part == "?" else re.escape(part) for part in re.split(r"([*?])", pattern))
    return re.compile("".join(parts), re.DOTALL)


_TESTS: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda expected, value: expected == value,
    "StringLike": is_like,
    # IAM treats both alike.
    "ArnEquals": is_like,
    "ArnLike": is_like,
    "Bool": lambda expected, value: expected.lower() == value.lower(),
}


def check_context(context: Context) -> Context:
    """Return the context with its keys in lower case.

    Raises:
        ValueError: a key is not supported.
    """
    lowered = {name.lower(): value for name, value in context.items()}
    if unknown := set(lowered) - _KEYS:
        raise ValueError(f"the condition keys {sorted(unknown)} are not supported")
    return lowered


def check_conditions(conditions: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise an error for a condition that cannot be evaluated.

    Raises:
        ValueError: an operator, key or variable is not supported, or an operator does not fit its key.
    """
    for operator, tests in conditions.items():
        parts = _OPERATOR.fullmatch(operator)
        quantifier, name, if_exists = parts.groups() if parts else ("", "", "")
        if name not in _TESTS and (name != "Null" or quantifier or if_exists):
            raise ValueError(f"the operator {operator!a} is not supported")
        check_context(tests)
        for key, expected in tests.items():
            if name != "Null" and bool(quantifier) != (key.lower() in _MANY):
                raise ValueError(f"{operator} does not fit {key}")
            if any("${" in str(value) for value in _values(expected)):
                raise ValueError("variables are not supported")


def holds(conditions: Mapping[str, Mapping[str, Any]], context: Context) -> bool:
    """Return whether all conditions of a statement hold; the keys of `context` are in lower case."""
    return all(
        _holds(operator, _values(expected), context.get(key.lower()))
        for operator, tests in conditions.items()
        for key, expected in tests.items()
    )


def _holds(operator: str, expected: Sequence[str], found: str | Sequence[str] | None) -> bool:
    quantifier, name, if_exists = _OPERATOR.fullmatch(operator).groups()  # type: ignore[union-attr]  # check_conditions matched it
    values = [] if found is None else _values(found)
    if name == "Null":
        return (not values) == (expected[0].lower() == "true")
    if not values:
        return bool(if_exists) or quantifier == "ForAllValues"
    passes = [any(_TESTS[name](each, value) for each in expected) for value in values]
    return any(passes) if quantifier == "ForAnyValue" else all(passes)


def _values(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list | tuple) else [str(value)]

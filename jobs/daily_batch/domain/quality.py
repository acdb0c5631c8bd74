"""Evaluate a day against its tenant's quality rules (docs/quality.md). Pure: measurements in, check results out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from daily_batch.domain.quality_rules import Rule, Severity
from daily_batch.errors import TerminalError


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """The result of one rule; `measured` is None if there is nothing to measure, which passes."""

    rule: str
    limit: float
    measured: float | None
    severity: Severity
    passed: bool


def evaluate(rules: Mapping[str, Rule], measured: Mapping[str, float | None]) -> tuple[CheckResult, ...]:
    """Return the result of each rule, sorted by name; a value equal to its limit passes."""
    return tuple(
        CheckResult(
            rule=name,
            limit=rule.limit,
            measured=measured[name],
            severity=rule.severity,
            passed=_passes(name, measured[name], rule.limit),
        )
        for name, rule in sorted(rules.items())
    )


def _passes(rule: str, measured: float | None, limit: float) -> bool:
    if measured is None:
        return True
    return measured >= limit if rule.startswith("min_") else measured <= limit


def raise_for_failures(results: Iterable[CheckResult], *, tenant: str, day: str) -> None:
    """Raise an error if a rule of severity `fail` did not pass.

    Raises:
        TerminalError: At least one did not; the message names each with its measured value and its limit.
    """
    failed = [describe(result) for result in results if result.severity == "fail" and not result.passed]
    if failed:
        raise TerminalError(
            f"the day fails its quality rules, and nothing was published: {'; '.join(failed)}",
            next_step="correct the input or change the rule in [quality] (docs/quality.md), then run the day again",
            tenant=tenant,
            day=day,
        )


def warnings(results: Iterable[CheckResult]) -> list[CheckResult]:
    """Return the results that did not pass but do not stop publication."""
    return [result for result in results if result.severity == "warn" and not result.passed]


def describe(result: CheckResult) -> str:
    """Return a result as text that contains no tenant data."""
    bound = "at least" if result.rule.startswith("min_") else "at most"
    measured = "nothing to measure" if result.measured is None else _format(result.measured)
    return f"{result.rule} {measured}, {bound} {_format(result.limit)}"


def describe_warnings(results: Iterable[CheckResult]) -> str | None:
    """Return the warnings as one line, or None if there are none."""
    return "; ".join(map(describe, warnings(results))) or None


def _format(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:.4g}"

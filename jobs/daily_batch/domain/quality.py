"""Judge a day by its tenant's rules: counts and limits in, findings out. Pure; docs/quality.md tells the rules."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from daily_batch.domain.quality_rules import OF_FLAGS, VOLUMES, Rule, Severity
from daily_batch.errors import TerminalError
from daily_batch.pipeline.transform.outcomes import Counts


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """What a rule found of a day. `measured` is None where there is nothing to measure, which passes."""

    rule: str
    limit: float
    measured: float | None
    severity: Severity
    passed: bool


def measure_counts(counts: Counts) -> dict[str, float | None]:
    """What each rule measures that needs no more than a run's counts."""
    seen, written, objects = counts.seen, counts.written, counts.objects_read + counts.objects_unreadable
    return {
        **dict.fromkeys(VOLUMES, written),
        # Nobody knows how many records an unreadable object held: it counts under `max_unreadable` alone. But of a day
        # of which nothing could be read, all is refused.
        "max_rejected": 1.0 if objects and not counts.objects_read else share(counts.rejected, seen),
        "max_unreadable": share(counts.objects_unreadable, objects),
        "max_duplicates": share(counts.duplicates, seen),
        "max_superseded": share(counts.superseded, seen),
        **{rule: share(counts.flags.get(flag, 0), written) for rule, flag in OF_FLAGS.items()},
    }


def share(part: int, whole: int) -> float | None:
    """A part of a whole; of nothing there is none."""
    return part / whole if whole else None


def evaluate(rules: Mapping[str, Rule], measured: Mapping[str, float | None]) -> tuple[CheckResult, ...]:
    """A finding for each rule, by name; a limit that is just met is kept."""
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


def refuse_failed(findings: Iterable[CheckResult], *, tenant: str, day: str) -> None:
    """Refuse a day that breaks a rule of severity `fail`.

    Raises:
        Terminal: it does; each such rule is named, with what was measured and what is allowed.
    """
    broken = [describe(finding) for finding in findings if finding.severity == "fail" and not finding.passed]
    if broken:
        raise TerminalError(
            f"the day breaks its quality rules, and nothing was published: {'; '.join(broken)}",
            next_step="look at the input, or change the rule in [quality] (docs/quality.md), then run the day again",
            tenant=tenant,
            day=day,
        )


def warnings(findings: Iterable[CheckResult]) -> list[CheckResult]:
    """Those that did not pass and let the day through."""
    return [finding for finding in findings if finding.severity == "warn" and not finding.passed]


def describe(finding: CheckResult) -> str:
    """A finding in words, without what is nobody's but the tenant's."""
    bound = "at least" if finding.rule.startswith("min_") else "at most"
    measured = "nothing to measure" if finding.measured is None else _show(finding.measured)
    return f"{finding.rule} {measured}, {bound} {_show(finding.limit)}"


def describe_warnings(findings: Iterable[CheckResult]) -> str | None:
    """The warnings in a line; None if there are none."""
    return "; ".join(map(describe, warnings(findings))) or None


def _show(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:.4g}"

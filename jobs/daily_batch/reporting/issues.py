"""List what needs attention: one issue per trouble, with the next step and a command that can be pasted."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from daily_batch.orchestration.day_status import NOT_STARTED, find_runbook
from daily_batch.reporting.facts import DayFacts, Facts
from daily_batch.reporting.texts import Texts

# Where neither an option nor a receipt names the input.
UNKNOWN_INPUT = "INPUT"
_STEP = ". Next step: "
# What differs from day to day in the same error: counts, dates, keys, run ids. A line of code is not among them.
_VARYING = re.compile(r"(?<!\S)(?!\S*\.py:)\S*\d\S*")


@dataclass(frozen=True, kw_only=True)
class Issue:
    """Days of one tenant, `first` to `last`, that need attention for the same reason.

    `what` quotes the newest day's error, and `command` runs the days again. `runbook` is a URL or a path.
    """

    tenant: str
    first: date
    last: date
    days: int
    state: str
    what: str
    next_step: str
    command: str
    runbook: str

    @property
    def dates(self) -> str:
        """The day, or the first and the last day."""
        return f"{self.first}" if self.first == self.last else f"{self.first} – {self.last}"

    @property
    def runbook_name(self) -> str:
        """The name of the runbook's page."""
        return self.runbook.rpartition("/")[2].partition(".")[0]


def list_issues(facts: Facts, texts: Texts) -> list[Issue]:
    """Return what needs attention, the newest first, then the worst tenants first."""
    issues = [
        _make_issue(group, find_input(facts, days), facts, texts)
        for days in facts.by_tenant.values()
        for group in _group(days)
    ]
    return sorted(issues, key=lambda issue: issue.last, reverse=True)


def _group(days: Sequence[DayFacts]) -> list[list[DayFacts]]:
    """Group a tenant's days that need attention for the same reason; days without an entry do not end a group."""
    groups: list[list[DayFacts]] = []
    open_groups: dict[tuple[str, str], list[DayFacts]] = {}
    for day in days:
        if day.state in ("NOT_DUE", NOT_STARTED):
            continue
        reason = (day.state, _VARYING.sub("#", day.error or ""))
        if day.state != "MISSING":
            open_groups = {key: group for key, group in open_groups.items() if key == reason}
        if day.needs_attention and reason in open_groups:
            open_groups[reason].append(day)
        elif day.needs_attention:
            groups.append([day])
            open_groups[reason] = groups[-1]
    return groups


def _make_issue(group: Sequence[DayFacts], source: str, facts: Facts, texts: Texts) -> Issue:
    first, last = group[0], group[-1]
    what, next_step = _describe_issue(last, texts)
    return Issue(
        tenant=last.tenant,
        first=first.day,
        last=last.day,
        days=len(group),
        state=last.state,
        what=what,
        next_step=next_step,
        command=_make_command(first, last, source, facts),
        runbook=texts("runbook", docs=facts.docs, name=find_runbook(last.state)),
    )


def _describe_issue(day: DayFacts, texts: Texts) -> tuple[str, str]:
    """Return what happened and the next step; errors are quoted from the ledger."""
    if day.state == "FAILED":
        what, _, step = (day.error or texts("what.failed")).partition(_STEP)
        tried = f" ({texts('what.attempts', count=day.attempts)})" if day.attempts > 1 else ""
        return f"{what}{tried}", step.rstrip(".") or texts("next.log", run_id=day.run_id or "-")
    what = texts("what.dead", ended=day.ended) if day.state == "DEAD" else texts("what.missing")
    return what, texts("next.run")


def find_input(facts: Facts, days: Sequence[DayFacts]) -> str:
    """Return the input of a tenant: the one that the report was given, else that of its newest receipt."""
    known = (day.input for day in reversed(days) if day.input)
    return facts.flags.get("--input") or next(known, UNKNOWN_INPUT)


def _make_command(first: DayFacts, last: DayFacts, source: str, facts: Facts) -> str:
    dates = {"--date": f"{last.day}"} if first == last else {"--from": f"{first.day}", "--to": f"{last.day}"}
    name = "run" if first == last else "backfill"
    return join_command(name, {"--tenant": last.tenant, **dates, "--input": source}, facts)


def join_command(name: str, flags: dict[str, str], facts: Facts) -> str:
    """Return a command line for a POSIX shell: the given flags, then those of the report."""
    words = [word for flag in (flags | dict(facts.flags)).items() for word in flag]
    return shlex.join(["makoto-batch", *name.split(), *words])


def describe_strays(facts: Facts, texts: Texts) -> Iterator[tuple[str, str]]:
    """Yield a sentence and a command for each tenant with objects outside every folder that a run reads."""
    days = facts.by_tenant
    for found in facts.strays:
        sentence = texts("note.strays", tenant=found.tenant, count=found.objects, found=found.found_at[:10])
        flags = {"--tenant": found.tenant, "--input": find_input(facts, days[found.tenant])}
        yield sentence, join_command("plan --strays", flags, facts)

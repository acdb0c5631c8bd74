"""The night's summary as a message: a Slack message, or an Adaptive Card for a Teams workflow.

It holds counts, tenant ids, states and fixed texts only: never message content, and never the text of an error, which
may quote what was read (`Attention.note`).
"""

from collections.abc import Sequence
from typing import Any, Literal

from daily_batch.ledger.entry import COMPLETED
from daily_batch.orchestration.day_status import UNKNOWN, find_runbook, state_label
from daily_batch.orchestration.night_summary import Attention, Summary

Format = Literal["slack", "teams"]

MAX_TENANTS = 20
REPORT = "Open the report"
ADAPTIVE_CARD = "application/vnd.microsoft.card.adaptive"
# The worst first. Those below UNKNOWN need attention only if the day is late.
ORDER = ("FAILED", "MISSING", "DEAD", UNKNOWN, "SUBMITTED", "RUNNING")
COMMANDS = {"MISSING": "makoto-batch run --tenant {tenant} --date {date}"}


def build_message(summary: Summary, *, to: Format, report_url: str = "") -> dict[str, Any]:
    """Return the JSON document to post.

    Args:
        summary: The night.
        to: The receiver.
        report_url: The address of the report, for a link; empty for none.
    """
    build = {"slack": _build_slack, "teams": _build_teams}[to]
    return build(summary, _list_worst(summary.attention), report_url)


def _make_title(summary: Summary) -> str:
    done = sum(summary.states.get(state, 0) for state in COMPLETED)
    attention = f", {len(summary.attention):,} need attention" if summary.attention else ""
    return f"makoto-daily-batch, {summary.date}: {done:,} of {summary.tenants:,} tenants completed{attention}"


def _list_facts(summary: Summary) -> list[tuple[str, str]]:
    """Return the counts as they are displayed: the states, most frequent first, then the night's other counts."""
    states = sorted(summary.states.items(), key=lambda each: (-each[1], each[0]))
    others = {
        "late": summary.late,
        "queued again": summary.queued,
        "unreadable objects": summary.unreadable,
        "new fields": summary.new_fields,
    }
    counts = [*((state_label(state), count) for state, count in states), *others.items()]
    return [(name, f"{count:,}") for name, count in counts]


def _list_worst(attention: Sequence[Attention]) -> list[Attention]:
    return sorted(attention, key=lambda each: ORDER.index(each.state) if each.state in ORDER else len(ORDER))


def _find_step(each: Attention, summary: Summary) -> tuple[str, str]:
    """Return what to do about a state: a command, which may be empty, and the runbook."""
    command = COMMANDS.get(each.state, "").format(tenant=each.tenant, date=summary.date)
    return command, f"docs/runbooks/{find_runbook(each.state)}.md"


def _count_others(attention: Sequence[Attention]) -> str:
    others = len(attention) - MAX_TENANTS
    return f"and {others:,} more: makoto-batch status --all-tenants" if others > 0 else ""


# Slack: a header and sections of its markup. docs/notifications.md has the sources and limits of both forms.


def _build_slack(summary: Summary, attention: Sequence[Attention], report_url: str) -> dict[str, Any]:
    title = _make_title(summary)
    sections = ["\n".join(f"{name}: *{count}*" for name, count in _list_facts(summary))]
    sections += [_describe_for_slack(each, summary) for each in attention[:MAX_TENANTS]]
    sections += filter(None, [_escape(_count_others(attention)), report_url and f"<{_escape(report_url)}|{REPORT}>"])
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": text}} for text in sections]
    return {"text": title, "blocks": [{"type": "header", "text": {"type": "plain_text", "text": title}}, *blocks]}


def _describe_for_slack(each: Attention, summary: Summary) -> str:
    command, runbook = _find_step(each, summary)
    shown = f"`{_escape(command)}`, " if command else ""
    return f"`{_escape(each.tenant)}` {state_label(each.state)}. Next step: {shown}{runbook}"


def _escape(text: str) -> str:
    """Escape the characters that Slack takes for control characters."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# Teams: an Adaptive Card. Text runs are shown as they are; text blocks and facts are read as Markdown.


def _build_teams(summary: Summary, attention: Sequence[Attention], report_url: str) -> dict[str, Any]:
    title = {"type": "TextBlock", "size": "Large", "weight": "Bolder", "wrap": True, "text": _make_title(summary)}
    facts = [{"title": name, "value": count} for name, count in _list_facts(summary)]
    others = _count_others(attention)
    body: list[dict[str, Any]] = [
        title,
        {"type": "FactSet", "facts": facts},
        *(_describe_for_teams(each, summary) for each in attention[:MAX_TENANTS]),
        *([_write_runs(_run(others))] if others else []),
    ]
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
    }
    if report_url:
        card["actions"] = [{"type": "Action.OpenUrl", "title": REPORT, "url": report_url}]
    return {"type": "message", "attachments": [{"contentType": ADAPTIVE_CARD, "content": card}]}


def _describe_for_teams(each: Attention, summary: Summary) -> dict[str, Any]:
    command, runbook = _find_step(each, summary)
    shown = [_run(command, fontType="Monospace"), _run(", ")] if command else []
    state = _run(f" {state_label(each.state)}. Next step: ")
    return _write_runs(_run(each.tenant, weight="Bolder"), state, *shown, _run(runbook))


def _write_runs(*runs: dict[str, str]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": list(runs)}


def _run(text: str, **style: str) -> dict[str, str]:
    return {"type": "TextRun", "text": text, **style}

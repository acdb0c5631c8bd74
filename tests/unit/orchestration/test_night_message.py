"""The nightly message: Slack's and Teams' forms and limits, what it says, and what it never contains."""

import json
from datetime import date
from typing import Any

import pytest
import typer

from daily_batch.cli import app
from daily_batch.orchestration.day_status import RUNBOOKS
from daily_batch.orchestration.night_message import COMMANDS, MAX_TENANTS, ORDER, Format, build_message
from tests.support.day_runs import ROOT
from tests.support.night_summaries import make_largest_summary, make_summary

FORMATS: tuple[Format, ...] = ("slack", "teams")
each_format = pytest.mark.parametrize("form", FORMATS)
REPORT = "https://reports.example.com/night.html?a=1&b=2"
# The limits of the services, with their sources in docs/project/not-proven.md.
SLACK_BLOCKS, SLACK_SECTION, SLACK_HEADER, SLACK_ALL = 50, 3_000, 150, 13_000
TEAMS_BYTES = 28_000


def card_of(message: dict[str, Any]) -> dict[str, Any]:
    (attachment,) = message["attachments"]
    assert set(message) == {"type", "attachments"}
    assert message["type"] == "message"
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card: dict[str, Any] = attachment["content"]
    return card


def lines_of(message: dict[str, Any], form: Format) -> list[str]:
    """Return a message's lines of text as a reader sees them, without Slack's markup."""
    if form == "slack":
        texts = [block["text"]["text"] for block in message["blocks"]]
        return "\n".join(texts).replace("*", "").replace("`", "").splitlines()
    lines = []
    for element in card_of(message)["body"]:
        lines += [element["text"]] if "text" in element else []
        lines += [f"{fact['title']}: {fact['value']}" for fact in element.get("facts", [])]
        lines += ["".join(run["text"] for run in element["inlines"])] if "inlines" in element else []
    return lines


@each_format
def test_message_has_counts_by_state_and_each_next_step(form: Format) -> None:
    summary = make_summary("DEAD", "MISSING", "FAILED", "UNKNOWN", late=3, queued=1, unreadable=1_234, new_fields=2)
    assert lines_of(build_message(summary, to=form), form) == [
        "makoto-daily-batch, 2025-08-12: 196 of 200 tenants completed, 4 need attention",
        "completed: 194",
        "completed, rejects: 2",
        "dead: 1",
        "failed: 1",
        "missing: 1",
        "unknown: 1",
        "late: 3",
        "queued again: 1",
        "unreadable objects: 1,234",
        "new fields: 2",
        "tenant-002 failed. Next step: docs/runbooks/days-failed.md",
        "tenant-001 missing. Next step: makoto-batch run --tenant tenant-001 --date 2025-08-12, "
        "docs/runbooks/days-late.md",
        "tenant-000 dead. Next step: docs/runbooks/dead-lease.md",
        "tenant-003 unknown. Next step: docs/runbooks/tenants-in-trouble.md",
    ]


@each_format
def test_message_of_a_completed_night_names_no_tenant(form: Format) -> None:
    lines = lines_of(build_message(make_summary(), to=form), form)
    assert lines[0] == "makoto-daily-batch, 2025-08-12: 200 of 200 tenants completed"
    assert not any("tenant-" in line for line in lines)


@each_format
@pytest.mark.parametrize(("count", "rest"), [(MAX_TENANTS, []), (MAX_TENANTS + 7, ["and 7 more"])])
def test_message_lists_at_most_twenty_tenants_the_worst_first(form: Format, count: int, rest: list[str]) -> None:
    summary = make_summary(*["SUBMITTED"] * (count - 1), "FAILED")
    lines = lines_of(build_message(summary, to=form), form)
    listed = [line.split()[0] for line in lines if "Next step" in line]
    assert listed == [f"tenant-{count - 1:03}", *(f"tenant-{number:03}" for number in range(MAX_TENANTS - 1))]
    assert [line.partition(":")[0] for line in lines if line.startswith("and ")] == rest


@each_format
def test_message_never_contains_a_note(form: Format) -> None:
    summary = make_summary(*ORDER, "CHANGED", "NOT_DUE")
    assert "Bob" not in json.dumps(build_message(summary, to=form, report_url=REPORT))


def test_slack_message_links_to_the_report() -> None:
    blocks = build_message(make_summary(), to="slack", report_url=REPORT)["blocks"]
    assert blocks[-1]["text"]["text"] == "<https://reports.example.com/night.html?a=1&amp;b=2|Open the report>"
    assert "<" not in json.dumps(build_message(make_summary("FAILED"), to="slack"))


def test_teams_message_links_to_the_report() -> None:
    card = card_of(build_message(make_summary(), to="teams", report_url=REPORT))
    assert card["actions"] == [{"type": "Action.OpenUrl", "title": "Open the report", "url": REPORT}]
    assert "actions" not in card_of(build_message(make_summary(), to="teams"))


def test_largest_slack_message_is_within_slacks_limits() -> None:
    message = build_message(make_largest_summary(), to="slack", report_url=f"https://reports.example.com/{'x' * 1_900}")
    header, *sections = message["blocks"]
    assert header == {"type": "header", "text": {"type": "plain_text", "text": message["text"]}}
    assert len(message["text"]) <= SLACK_HEADER
    assert len(message["blocks"]) <= SLACK_BLOCKS
    for section in sections:
        assert section["type"] == "section"
        assert section["text"]["type"] == "mrkdwn"
        assert 0 < len(section["text"]["text"]) <= SLACK_SECTION
    assert len(json.dumps(message["blocks"])) < SLACK_ALL


def test_largest_teams_message_is_within_teams_limit() -> None:
    message = build_message(make_largest_summary(), to="teams", report_url=f"https://reports.example.com/{'x' * 1_900}")
    assert len(json.dumps(message)) < TEAMS_BYTES


def test_runbook_of_each_state_exists() -> None:
    assert set(RUNBOOKS) == set(ORDER)
    for name in (*RUNBOOKS.values(), "README"):
        assert (ROOT / f"docs/runbooks/{name}.md").exists()


@pytest.mark.parametrize("command", COMMANDS.values())
def test_command_of_each_state_is_accepted(command: str) -> None:
    group = typer.main.get_command(app)
    program, name, *arguments = command.format(tenant="acme", date=date(2025, 8, 12)).split()
    assert program == "makoto-batch"
    context = typer.Context(group)
    found = group.get_command(context, name)  # type: ignore[attr-defined]  # it is a group
    assert found is not None
    found.make_context(name, arguments, parent=context)

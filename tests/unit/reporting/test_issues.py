"""Issues of a report: one per trouble, each with a runbook and a command that can be pasted."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from daily_batch.cli import app
from daily_batch.ledger import StrayCount
from daily_batch.orchestration.day_status import RUNBOOKS, SOUND
from daily_batch.orchestration.night_message import build_message
from daily_batch.reporting.facts import Facts
from daily_batch.reporting.issues import describe_strays, list_issues
from daily_batch.reporting.texts import SIGNS, Texts, load_texts
from tests.support.night_summaries import make_summary
from tests.support.report_days import make_facts
from tests.support.spark_session import ROOT

EN, JA = load_texts("en"), load_texts("ja")


@pytest.mark.parametrize(("texts", "suffix"), [(EN, ".md"), (JA, ".ja.md")], ids=["en", "ja"])
def test_every_issue_has_an_existing_runbook_in_the_language_of_the_report(texts: Texts, suffix: str) -> None:
    facts = make_facts(*(state for state in SIGNS if state not in SOUND))
    issues = list_issues(facts, texts)
    assert {each.state for each in issues} == {"FAILED", "MISSING", "DEAD"}
    assert [each.runbook for each in issues if not (ROOT / each.runbook).is_file()] == []
    assert {"".join(Path(each.runbook).suffixes) for each in issues} == {suffix}


def test_consecutive_days_are_one_issue_only_with_the_same_error() -> None:
    facts = make_facts("FAILED", dates=4, error="down. Next step: wait.")
    days = list(facts.days)
    days[1] = replace(days[1], error="broken. Next step: repair.")
    issues = list_issues(replace(facts, days=tuple(days)), EN)
    assert [(each.first.day, each.last.day, each.what) for each in issues] == [
        (11, 12, "down"),
        (10, 10, "broken"),
        (9, 9, "down"),
    ]
    assert {each.next_step for each in issues} == {"wait", "repair"}


def test_error_without_a_next_step_refers_to_the_log() -> None:
    (issue,) = list_issues(make_facts("FAILED", error="unexpected KeyError at x.py:3", run_id="r7"), EN)
    assert (issue.what, issue.next_step) == ("unexpected KeyError at x.py:3", "see the log of run r7")


def test_one_trouble_is_one_issue_though_its_counts_and_run_ids_differ() -> None:
    errors = [
        f"{40 + n} of 95 records of run 2025081{n}T170000Z-ab{n} are rejected. Next step: look." for n in range(3)
    ]
    issues = list_issues(replace_errors(make_facts("FAILED", dates=3), errors), EN)
    assert [(each.first.day, each.last.day, each.days) for each in issues] == [(10, 12, 3)]
    assert issues[0].what.startswith("42 of 95 records")


def test_errors_at_different_lines_of_code_are_two_issues() -> None:
    facts = replace_errors(
        make_facts("FAILED", dates=2), ["unexpected KeyError at x.py:3", "unexpected KeyError at x.py:9"]
    )
    assert len(list_issues(facts, EN)) == 2


@pytest.mark.parametrize(
    ("between", "spans"),
    [
        ("MISSING", [(10, 12), (11, 11)]),
        ("COMPLETED", [(12, 12), (10, 10)]),
        ("RUNNING", [(12, 12), (10, 10)]),
        ("DEAD", [(12, 12), (11, 11), (10, 10)]),
    ],
)
def test_only_days_with_another_result_end_an_issue(between: str, spans: list[tuple[int, int]]) -> None:
    first, second, third = make_facts("FAILED", dates=3, error="down").days
    days = (first, replace(second, state=between, error=None), third)
    issues = list_issues(replace(make_facts("FAILED", dates=3), days=days), EN)
    assert [(each.first.day, each.last.day) for each in issues] == spans


def test_issues_of_other_tenants_do_not_end_an_issue() -> None:
    issues = list_issues(make_facts("FAILED", "COMPLETED", "FAILED", dates=3), EN)
    assert [(each.tenant, each.days) for each in issues] == [("t0", 3), ("t2", 3)]


@pytest.mark.parametrize("state", ["FAILED", "MISSING", "DEAD"])
@pytest.mark.parametrize(("dates", "name"), [(1, "run"), (2, "backfill")])
def test_command_of_an_issue_can_be_pasted(state: str, dates: int, name: str) -> None:
    flags = {"--output": "s3://tables/out", "--ledger": "file:///var/a ledger", "--env": "prod"}
    facts = replace(make_facts(state, dates=dates, input="my exports"), flags=flags)
    (issue,) = list_issues(facts, EN)
    words = shlex.split(issue.command)
    assert words[:4] == ["makoto-batch", name, "--tenant", "t0"]
    parsed = parse_command(words)
    assert {"tenant": "t0", "input": "my exports", "output": "s3://tables/out", "env": "prod"}.items() <= parsed.items()
    assert parsed["ledger"] == "file:///var/a ledger"
    names = {"date": "2025-08-12"} if dates == 1 else {"first": "2025-08-11", "last": "2025-08-12"}
    assert names.items() <= parsed.items()


def test_input_of_a_command_is_the_report_s_or_that_of_the_last_receipt() -> None:
    facts = make_facts("FAILED", dates=2)
    older = replace(facts, days=(replace(facts.days[0], input="from-receipt"), facts.days[1]))
    given = replace(older, flags={"--input": "from-option"})
    inputs = [parse_command(shlex.split(list_issues(each, EN)[0].command))["input"] for each in (facts, older, given)]
    assert inputs == ["INPUT", "from-receipt", "from-option"]


def test_strays_have_a_command_that_lists_them() -> None:
    strays = (StrayCount(tenant="t0", objects=3, found_at="2025-08-12T17:00:00Z"),)
    facts = replace(make_facts("COMPLETED", input="in"), strays=strays, flags={"--output": "out"})
    ((sentence, command),) = describe_strays(facts, EN)
    assert sentence.startswith("t0: 3 stray objects")
    parsed = parse_command(shlex.split(command))
    assert (parsed["tenant"], parsed["input"], parsed["output"], parsed["strays"]) == ("t0", "in", "out", True)


def test_runbooks_are_below_the_documentation() -> None:
    facts = replace(make_facts("DEAD"), docs="https://example.org/docs")
    assert list_issues(facts, EN)[0].runbook == "https://example.org/docs/runbooks/dead-lease.md"
    assert list_issues(facts, JA)[0].runbook == "https://example.org/docs/runbooks/dead-lease.ja.md"


@pytest.mark.parametrize("state", ["FAILED", "MISSING", "DEAD"])
def test_report_and_message_of_the_night_follow_one_mapping_of_runbooks(
    state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RUNBOOKS, state, "a-new-page")
    assert [issue.runbook_name for issue in list_issues(make_facts(state), EN)] == ["a-new-page"]
    assert "docs/runbooks/a-new-page.md" in str(build_message(make_summary(state), to="slack"))


def replace_errors(facts: Facts, errors: Sequence[str]) -> Facts:
    """Return facts of one tenant with an error for each of its days."""
    return replace(facts, days=tuple(replace(day, error=error) for day, error in zip(facts.days, errors, strict=True)))


def parse_command(words: Sequence[str]) -> dict[str, Any]:
    """Return the values of a command's options."""
    program, name, *arguments = words
    assert program == "makoto-batch"
    group = typer.main.get_command(app)
    context = typer.Context(group)
    command = group.get_command(context, name)  # type: ignore[attr-defined]  # it is a group
    return dict(command.make_context(name, arguments, parent=context).params)

"""The report's texts: complete in both languages, the headline, and escaped Markdown."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from string import Formatter

import pytest
from markdown_it import MarkdownIt

from daily_batch.orchestration.day_status import SOUND
from daily_batch.reporting.facts import DayFacts, Facts
from daily_batch.reporting.markdown import make_markdown, quote
from daily_batch.reporting.texts import SIGNS, Texts, list_issues, load_texts, make_headline, make_sign
from tests.support.report_days import DATES, Fortnight, report
from tests.support.spark_session import ROOT

EN, JA = load_texts("en"), load_texts("ja")
DAY = date(2025, 8, 12)
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
HOSTILE = "<script>alert(1)</script> | `a` **b** [c](javascript:alert(1)) @all ![d](//e)\n| --- |\n# f"


def make_facts(*states: str, dates: int = 1, **more: object) -> Facts:
    """Return facts of one tenant per state."""
    days = [DAY + timedelta(days=number - dates + 1) for number in range(dates)]
    tenants = [f"t{number}" for number in range(len(states))]
    all_days = [
        DayFacts(tenant=tenant, day=day, state=state, **more)  # type: ignore[arg-type]
        for tenant, state in zip(tenants, states, strict=True)
        for day in days
    ]
    return Facts(tenants=tuple(tenants), dates=tuple(days), now=datetime(2025, 8, 13, tzinfo=UTC), days=tuple(all_days))


def find_placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_languages_have_the_same_texts_and_placeholders() -> None:
    assert EN.table.keys() == JA.table.keys()
    assert {key: find_placeholders(text) for key, text in EN.table.items()} == {
        key: find_placeholders(text) for key, text in JA.table.items()
    }


def test_texts_are_in_their_own_language() -> None:
    plain = {"lang", "separator", "runbook"}
    assert [key for key, text in JA.table.items() if key not in plain and not JAPANESE.search(text)] == []
    assert [key for key, text in EN.table.items() if JAPANESE.search(text)] == []


@pytest.mark.parametrize("form", ["--markdown", "--html"])
def test_japanese_report_contains_no_english_text(fortnight: Fortnight, form: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = report(fortnight[0], "--lang", "ja", form, *((str(page),) if form == "--html" else ()))
    text = page.read_text() if form == "--html" else result.stdout
    visible = re.sub(r"<style>.*?</style>|<svg.*?>|<[^>]*>|class=\"[^\"]*\"", " ", text, flags=re.DOTALL)
    # A text of one word may also come from data: a stage, a reason, an error.
    sentences = [part for key in EN.table for part in re.split(r"\{\w+\}", EN.table[key]) if len(part.split()) > 1]
    assert [part for part in sentences if part.strip() in visible] == []


def test_states_have_unique_signs_and_names_in_both_languages() -> None:
    assert set(SOUND) < set(SIGNS)
    assert len(set(SIGNS.values())) == len(SIGNS)
    for state in SIGNS:
        assert EN(f"state.{state}") != JA(f"state.{state}")


@pytest.mark.parametrize(
    ("states", "dates", "headline"),
    [
        (("COMPLETED",) * 12, 1, "12 of 12 tenants are done; nothing to do"),
        (
            ("COMPLETED",) * 11 + ("COMPLETED_WITH_REJECTS",),
            1,
            "12 of 12 tenants are done; 1 with rejects; nothing to do",
        ),
        (("COMPLETED", "FAILED"), 1, "1 tenant needs attention: t1; 1 of 2 tenants are done"),
        (("FAILED", "MISSING"), 3, "2 tenants need attention: t0, t1; 0 of 6 tenant-days are done"),
        (("RUNNING", "SUBMITTED"), 1, "0 of 2 tenants are done; 2 still running; nothing to do"),
        (("NOT_DUE",) * 2, 1, "0 of 2 tenants are done; 2 not due yet; nothing to do"),
        (
            ("DEAD",) * 7,
            1,
            "7 tenants need attention: t0, t1, t2, t3, t4, and 2 more; 0 of 7 tenants are done",
        ),
    ],
)
def test_headline_summarizes_the_night(states: tuple[str, ...], dates: int, headline: str) -> None:
    assert make_headline(make_facts(*states, dates=dates), EN) == headline


def test_headline_is_translated_to_japanese() -> None:
    facts = make_facts("COMPLETED", "COMPLETED_WITH_REJECTS")
    assert make_headline(facts, JA) == "2テナント中2テナントが完了。うちリジェクトあり1件。対応は不要"


@pytest.mark.parametrize(("texts", "suffix"), [(EN, ".md"), (JA, ".ja.md")], ids=["en", "ja"])
def test_every_issue_has_an_existing_runbook_in_the_language_of_the_report(texts: Texts, suffix: str) -> None:
    facts = make_facts(*(state for state in SIGNS if state not in SOUND))
    issues = list_issues(facts, texts)
    assert {each.state for each in issues} == {"FAILED", "MISSING", "DEAD"}
    assert [each.runbook for each in issues if not (ROOT / each.runbook).is_file()] == []
    assert {"".join(Path(each.runbook).suffixes) for each in issues} == {suffix}


def test_days_with_warnings_are_marked_and_counted() -> None:
    facts = make_facts("COMPLETED", messages=5, expected=900)
    assert make_sign(facts.days[0]) == "•!"
    assert make_headline(facts, EN) == "1 of 1 tenants are done; 1 with warnings"


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


def test_markdown_escapes_hostile_text() -> None:
    text = make_markdown(make_facts("FAILED", "COMPLETED", error=HOSTILE, quality=(HOSTILE,)), EN, zone="Asia/Tokyo")
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    inline = [child for token in tokens for child in token.children or []]
    kinds = {token.type for token in [*tokens, *inline]}
    assert not kinds & {"html_block", "html_inline", "link_open", "image"}
    rows = [token for token in tokens if token.type == "tr_open"]
    cells = [token for token in tokens if token.type in ("td_open", "th_open")]
    # The issues, the warnings, the map, the dates: rows by columns.
    assert len(rows) == 2 + 3 + 3 + 2
    assert len(cells) == 2 * 5 + 3 * 3 + 3 * 2 + 2 * 6
    code = [child.content for child in inline if child.type == "code_inline"]
    assert any("<script>alert(1)</script>" in content for content in code)


def test_quoted_text_stays_in_one_line_and_cell() -> None:
    assert quote("a\n| b `c`") == "`a \\| b 'c'`"
    assert quote("") == ""


def test_markdown_omits_tenants_without_problems(fortnight: Fortnight) -> None:
    text = report(fortnight[0], "--markdown").stdout
    assert f"{DATES[0]:%m-%d}" in text
    assert "`example-05`" in text
    assert "`example-01` |" not in text
    assert re.search(r"[0-9]+ tenants with all days completed", text)

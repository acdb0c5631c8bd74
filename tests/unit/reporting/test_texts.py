"""The report's texts: complete in both languages, the headline, and escaped Markdown."""

import re
from dataclasses import replace
from pathlib import Path
from string import Formatter

import pytest
from markdown_it import MarkdownIt

from daily_batch.domain.receipt import describe_unreadable
from daily_batch.orchestration.day_status import SOUND
from daily_batch.reporting.markdown import make_markdown, quote
from daily_batch.reporting.texts import (
    SIGNS,
    Texts,
    describe_warnings,
    load_texts,
    make_headline,
    make_sign,
    make_title,
)
from tests.support.report_days import DATES, DAY, Fortnight, make_facts, report

EN, JA = load_texts("en"), load_texts("ja")
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
HOSTILE = "<script>alert(1)</script> | `a` **b** [c](javascript:alert(1)) @all ![d](//e)\n| --- |\n# f"


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


def test_days_with_warnings_are_marked_and_counted() -> None:
    facts = make_facts("COMPLETED", messages=5, expected=900)
    assert make_sign(facts.days[0]) == "•!"
    assert make_headline(facts, EN) == "1 of 1 tenants are done; 1 with warnings"


def test_markdown_escapes_hostile_text() -> None:
    text = make_markdown(make_facts("FAILED", "COMPLETED", error=HOSTILE, quality=(HOSTILE,)), EN, zone="Asia/Tokyo")
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    inline = [child for token in tokens for child in token.children or []]
    kinds = {token.type for token in [*tokens, *inline]}
    assert not kinds & {"html_block", "html_inline", "image"}
    links = [child.attrGet("href") for child in inline if child.type == "link_open"]
    assert links == ["docs/runbooks/days-failed.md"]
    rows = [token for token in tokens if token.type == "tr_open"]
    cells = [token for token in tokens if token.type in ("td_open", "th_open")]
    # The issues, the warnings, the map, the dates: rows by columns.
    assert len(rows) == 2 + 3 + 3 + 2
    assert len(cells) == 2 * 5 + 3 * 3 + 3 * 2 + 2 * 6
    code = [child.content for child in inline if child.type == "code_inline"]
    assert any("<script>alert(1)</script>" in content for content in code)


@pytest.mark.parametrize(
    ("texts", "dates", "title"),
    [
        (EN, 1, "Business day 2025-08-12 (night of 2025-08-13)"),
        (JA, 1, "業務日 2025-08-12（夜間処理は 2025-08-13）"),
        (EN, 3, "Business days 2025-08-10 to 2025-08-12 (nights of 2025-08-11 to 2025-08-13)"),
        (JA, 3, "業務日 2025-08-10 〜 2025-08-12（夜間処理は 2025-08-11 〜 2025-08-13）"),
    ],
)
def test_title_names_business_days_and_nights(texts: Texts, dates: int, title: str) -> None:
    assert make_title(make_facts("COMPLETED", dates=dates), texts) == title


@pytest.mark.parametrize("objects", [None, 4, 4_000])
def test_report_names_unreadable_objects_in_the_words_of_the_other_commands(objects: int | None) -> None:
    (day,) = make_facts("COMPLETED_WITH_REJECTS", unreadable=1, total_objects=objects).days
    assert describe_warnings(day, EN) == describe_unreadable(1, objects)


def test_unreadable_objects_have_their_share_in_japanese() -> None:
    (day,) = make_facts("COMPLETED_WITH_REJECTS", unreadable=1, total_objects=4_000).days
    assert describe_warnings(day, JA) == "オブジェクト4,000件中1件（<0.1%）を読み取れません"
    assert describe_warnings(replace(day, total_objects=None), JA) == "オブジェクト1件を読み取れません"


def test_new_fields_are_a_warning_with_their_names() -> None:
    (day,) = make_facts("COMPLETED", new_fields=("locale", "theme")).days
    assert day.is_anomalous
    assert describe_warnings(day, EN) == "new fields: locale, theme"
    assert describe_warnings(day, JA) == "新しいフィールド: locale, theme"
    many = replace(day, new_fields=tuple(f"f{number}" for number in range(9)))
    assert describe_warnings(many, EN) == "new fields: f0, f1, f2, f3, f4, and 4 more"


def test_headline_does_not_count_days_before_a_tenants_first_run() -> None:
    facts = make_facts("COMPLETED", "NOT_STARTED", dates=2)
    assert make_headline(facts, EN) == "2 of 2 tenant-days are done; nothing to do"


def test_headline_names_the_worst_tenants_first() -> None:
    facts = make_facts(*["FAILED"] * 7, dates=2)
    recovered = [
        replace(day, state="COMPLETED") if day.tenant == "t0" and day.day == DAY else day for day in facts.days
    ]
    headline = make_headline(replace(facts, days=tuple(recovered)), EN)
    assert headline.startswith("7 tenants need attention: t1, t2, t3, t4, t5, and 2 more; ")


def test_quoted_text_stays_in_one_line_and_cell() -> None:
    assert quote("a\n| b `c`") == "`a \\| b 'c'`"
    assert quote("") == ""


def test_markdown_omits_tenants_without_problems(fortnight: Fortnight) -> None:
    text = report(fortnight[0], "--markdown").stdout
    assert f"{DATES[0]:%m-%d}" in text
    assert "`example-05`" in text
    assert "`example-01` |" not in text
    assert re.search(r"[0-9]+ tenants with all days completed", text)

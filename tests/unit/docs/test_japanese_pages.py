"""The Japanese pages: each says the same as its English page, in whole lines, with one word for one thing."""

import re
import tomllib
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.day_runs import ROOT
from tests.support.pages import (
    PAGES,
    TWINS,
    find_english,
    find_japanese,
    find_links,
    list_anchors,
    name_page,
    read_prose,
)

# The README has blocks that are no commands, and tests of its own.
DOCS = [page for page in TWINS if page.is_relative_to(ROOT / "docs")]
RUNBOOKS = [page for page in DOCS if page.parent.name == "runbooks"]
GLOSSARY = ROOT / "docs/glossary.ja.md"
REPORT = ROOT / "jobs/daily_batch/reporting/texts_ja.toml"
CODE = re.compile(r"^ {4,}\S.*$", re.MULTILINE)
COMMENT = re.compile(r"(?:^| {2,})# .*$")
# English writes small numbers as words; "one" and "a" are not numbers in every language.
WORDS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBERS = {word: str(number) for number, word in enumerate(WORDS, 2)} | {"nineteen": "19"}
each_twin = pytest.mark.parametrize("page", TWINS, ids=name_page)
each_doc = pytest.mark.parametrize("page", DOCS, ids=name_page)
each_runbook = pytest.mark.parametrize("page", RUNBOOKS, ids=name_page)


def read_code(page: Path) -> list[str]:
    """Return the lines of a page's blocks without comments and diagrams."""
    lines = [COMMENT.sub("", line.strip()).strip() for line in CODE.findall(read_prose(page))]
    return [line for line in lines if line and not re.search("<--|-->", line)]


def find_queries(page: Path) -> list[str]:
    """Return the commands for logs, which also stand in comments."""
    return re.findall(r'\binsights [\w-]+|\bquery "\$\(cat [^)]+\)"', "\n".join(CODE.findall(read_prose(page))))


def read_sentences(page: Path) -> str:
    return CODE.sub("", read_prose(page))


def find_code_words(page: Path) -> set[str]:
    return set(re.findall(r"`[^`]+`", read_sentences(page).replace("\n", " ")))


def find_quotes(page: Path) -> set[str]:
    """Return the texts of messages, which are in italics and stay in English."""
    return set(re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", read_sentences(page)))


def count_numbers(page: Path) -> Counter[str]:
    text = re.sub(r"`[^`]*`|\]\([^)]*\)", "", read_sentences(page))
    digits = re.sub(r"[a-z]+", lambda word: NUMBERS.get(word[0], word[0]), text, flags=re.IGNORECASE)
    return Counter(each for each in re.findall(r"\d\d:\d\d|\d+", digits) if each != "1")


def count_links(page: Path) -> Counter[tuple[str, int | None]]:
    """Count a page's links, all as links to Japanese pages, by page and number of the heading."""
    found: Counter[tuple[str, int | None]] = Counter()
    for _, file, anchor in find_links(read_prose(page), page):
        if file not in (find_english(page), find_japanese(find_english(page))):
            place = list_anchors(file).index(anchor) if anchor else None
            found[name_page(find_japanese(file) or file), place] += 1
    return found


def find_broken_lines(text: str) -> list[str]:
    """Return the lines that continue the sentence of the line before."""
    lines = CODE.sub("", text).splitlines()
    starts = re.compile(r"\s*(?:[-*] |\d+\. |#|\||>|<!--)")
    closed = re.compile(r"#|\||<!--")
    pairs = pairwise(lines)
    return [line for before, line in pairs if before and line and not closed.match(before) and not starts.match(line)]


def read_words() -> dict[str, list[str]]:
    """Return the glossary's words, with those that are not to be used instead."""
    rows = re.findall(r"^\| (\S+) \| (\S+) \|$", GLOSSARY.read_text(encoding="utf-8"), re.MULTILINE)
    return {use: avoid.split("、") for use, avoid in rows[1:]}


def find_wrong_words(text: str) -> list[str]:
    """Return the words of a text for which the glossary has another word."""
    found = []
    for use, avoid in read_words().items():
        # ディスパッチャー contains ディスパッチャ.
        found += [word for word in avoid if word in (text.replace(use, "") if word in use else text)]
    return found


@each_twin
def test_twins_link_to_each_other_and_have_the_same_parts(page: Path) -> None:
    twin = find_english(page)
    top = {each: "\n".join(read_prose(each).splitlines()[:6]) for each in (page, twin)}
    assert f"]({twin.name})" in top[page] and f"]({page.name})" in top[twin]
    levels = [re.findall(r"^(#+) ", read_prose(each), re.MULTILINE) for each in (page, twin)]
    assert levels[0] == levels[1]


def test_every_runbook_is_there_in_japanese() -> None:
    runbooks = [page for page in PAGES if page.parent.name == "runbooks" and page not in TWINS]
    assert len(runbooks) > 20
    assert sorted(map(find_english, RUNBOOKS)) == runbooks


@each_twin
def test_a_japanese_page_links_to_japanese_pages(page: Path) -> None:
    links = [(shown, file) for shown, file, _ in find_links(read_prose(page), page) if file != find_english(page)]
    assert [name_page(file) for shown, file in links if shown != "English" and find_japanese(file)] == []


@each_doc
def test_a_japanese_page_has_the_commands_of_its_english_page(page: Path) -> None:
    assert read_code(page) == read_code(find_english(page))


@each_runbook
def test_a_japanese_runbook_has_what_its_english_page_has(page: Path) -> None:
    twin = find_english(page)
    assert find_queries(page) == find_queries(twin)
    assert count_links(page) == count_links(twin)
    assert count_numbers(page) == count_numbers(twin)
    assert find_code_words(page) == find_code_words(twin)
    assert find_quotes(page) == find_quotes(twin)


def test_differences_between_twins_are_found(tmp_path: Path) -> None:
    page, twin = tmp_path / "page.ja.md", tmp_path / "page.md"
    twin.write_text("Wait three minutes for `a`: *denied*, after 06:00.\n\n    run 5      # or: insights errors\n")
    page.write_text("3分待つ。06:00 以降、`a` の *denied*。\n\n    run 5      # または insights errors\n")
    assert read_code(page) == read_code(twin) == ["run 5"]
    assert find_queries(page) == find_queries(twin) == ["insights errors"]
    assert count_numbers(page) == count_numbers(twin) == {"3": 1, "06:00": 1}
    assert find_code_words(page) == find_code_words(twin) == {"`a`"}
    assert find_quotes(page) == find_quotes(twin) == {"denied"}


@each_doc
def test_no_line_breaks_a_japanese_sentence(page: Path) -> None:
    assert find_broken_lines(read_prose(page)) == []


def test_a_line_that_breaks_a_sentence_is_found() -> None:
    good = "# 題\n\n文。\n\n- 項目\n- 項目\n\n    code\n    code\n\n| 表 |\n|---|\n| 行 |\n"
    assert find_broken_lines(good) == []
    assert find_broken_lines(f"{good}\n文の\n途中。\n\n- 項目の\n  途中\n") == ["途中。", "  途中"]


@each_doc
def test_a_japanese_page_has_one_word_for_one_thing(page: Path) -> None:
    text, _, _ = page.read_text(encoding="utf-8").partition("| 使う語 |")
    assert find_wrong_words(text) == []


def test_the_report_has_the_words_of_the_pages() -> None:
    text = REPORT.read_text(encoding="utf-8")
    assert tomllib.loads(text)["lang"] == "ja"
    assert find_wrong_words(text) == []


def test_a_wrong_word_is_found() -> None:
    assert find_wrong_words("リジェクト、ディスパッチャー、ユーザー、ルール") == []
    assert find_wrong_words("却下、ディスパッチャ、規則") == ["却下", "ディスパッチャ", "規則"]


def test_the_glossary_has_the_same_terms_in_both_languages() -> None:
    english = re.findall(r"^- \*\*(.+?)\*\*:", read_prose(find_english(GLOSSARY)), re.MULTILINE)
    assert len(english) > 25
    assert re.findall(r"^- \*\*.+?\*\*（(.+?)）:", read_prose(GLOSSARY), re.MULTILINE) == english

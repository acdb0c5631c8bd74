"""The documents: links lead somewhere, what they name is there, commands are real, twins have the same parts."""

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest
import typer

from daily_batch.cli import app
from tests.support.day_runs import ROOT

READMES = (ROOT / "README.md", ROOT / "README.ja.md")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "bench").glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TWINS = sorted(page for page in PAGES if page.name.endswith(".ja.md"))
LIBRARY = ROOT / "jobs/daily_batch"
# Pages whose `module.py` is below the library.
OF_THE_LIBRARY = ("architecture.md", "how-it-works.md")


def name_page(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def english(page: Path) -> Path:
    return page.with_name(page.name.replace(".ja.md", ".md"))


@cache
def read_prose(page: Path) -> str:
    """A page without its fenced code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


@cache
def find_anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    anchors: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#+ (.+?)\s*$", read_prose(page), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        found.add(f"{slug}-{anchors[slug]}" if anchors[slug] else slug)
        anchors[slug] += 1
    return found


def find_broken_links(text: str, page: Path) -> Iterator[str]:
    """The relative links in a page's text that lead nowhere, or out of the project."""
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        file = (page.parent / path).resolve() if path else page
        there = file.exists() and file.is_relative_to(ROOT)
        if not there or (anchor and (file.suffix != ".md" or anchor not in find_anchors(file))):
            yield target


@pytest.mark.parametrize("page", PAGES, ids=name_page)
def test_every_link_and_anchor_resolves(page: Path) -> None:
    assert list(find_broken_links(read_prose(page), page)) == []


def test_broken_links_are_found() -> None:
    good = "[a](metrics.md) [b](#where-it-is) [c](../conf/prices.toml) [d](https://example.org/x)"
    bad = ("none.md", "#none", "../../elsewhere", "metrics.md#none", "../conf/prices.toml#none")
    text = good + "".join(f"[e]({target})" for target in bad)
    assert tuple(find_broken_links(text, ROOT / "docs/ledger.md")) == bad


def find_linked_pages(page: Path) -> set[Path]:
    targets = re.findall(r"\]\(([^)\s:#]+)[^)]*\)", read_prose(page))
    return {(page.parent / target).resolve() for target in targets} & set(PAGES)


@pytest.mark.parametrize("readme", READMES, ids=name_page)
def test_every_page_is_reachable_from_the_readme(readme: Path) -> None:
    found, new = {readme}, {readme}
    while new:
        new = {linked for page in new for linked in find_linked_pages(page)} - found
        found |= new
    assert [name_page(page) for page in PAGES if page not in found] == []


@pytest.mark.parametrize("name", OF_THE_LIBRARY)
def test_pages_name_existing_modules(name: str) -> None:
    below = [ROOT, LIBRARY, *LIBRARY.glob("*/")]
    named = set(re.findall(r"`([\w-][\w/-]+(?:\.py|\.toml|\.yaml|\.yml|/))`", read_prose(ROOT / "docs" / name)))
    ours = {each for each in named if not each.startswith("_")}  # those with `_` are folders of tables
    assert len(ours) > 20
    assert [each for each in sorted(ours) if not any((folder / each).exists() for folder in below)] == []


def test_every_package_of_the_library_is_in_the_architecture() -> None:
    text = read_prose(ROOT / "docs/architecture.md")
    packages = {path.parent.name for path in LIBRARY.glob("*/__init__.py")}
    assert {name for name in packages if f"`{name}/" not in text} == set()


def test_pages_name_existing_tests() -> None:
    files = list((ROOT / "tests").rglob("*.py"))
    functions = re.findall(r"def (test_\w+)\(", "\n".join(file.read_text(encoding="utf-8") for file in files))
    there = {*functions, *(file.stem for file in files)}
    # A row's number stands for all tests that have it in their names.
    pointed = {name for page in PAGES for name in re.findall(r"\btest_\w+[a-z]\b", page.read_text(encoding="utf-8"))}
    assert len(pointed) > 50
    assert sorted(pointed - there) == []


def read_commands(page: Path) -> list[list[str]]:
    """The words of each whole `makoto-batch` command of a page's blocks and lines."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"^ {4}(?:\$ )?(?:\.venv/bin/)?makoto-batch (.+)$", text, re.MULTILINE)
    in_lines = re.findall(r"`makoto-batch ([^`…|]+ --[^`…|]+)`", text)
    return [shlex.split(re.split(r" [|>]", each)[0], comments=True) for each in (*blocks, *in_lines)]


@pytest.mark.parametrize("page", PAGES, ids=name_page)
def test_documented_commands_are_valid(page: Path) -> None:
    group = typer.main.get_command(app)
    for name, *arguments in read_commands(page):
        context = typer.Context(group)
        command = group.get_command(context, name)  # type: ignore[attr-defined]  # it is a group
        assert command is not None, name
        command.make_context(name, list(arguments), parent=context)


@pytest.mark.parametrize("page", READMES, ids=name_page)
def test_a_readme_names_every_command_and_no_other_target_of_make(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    names = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # it is a group
    assert [name for name in names if f"`{name}`" not in text] == []
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    asked = re.findall(r"(?:`|^ {4}(?:\$ )?)make ([a-z-]+)", text, re.MULTILINE)
    assert len(asked) > 5
    assert set(asked) <= set(targets)


@pytest.mark.parametrize("page", TWINS, ids=name_page)
def test_translations_link_to_each_other_and_have_the_same_headings(page: Path) -> None:
    twin = english(page)
    top = {each: "\n".join(read_prose(each).splitlines()[:6]) for each in (page, twin)}
    assert f"]({twin.name})" in top[page] and f"]({page.name})" in top[twin]
    levels = [re.findall(r"^(#+) ", read_prose(each), re.MULTILINE) for each in (page, twin)]
    assert levels[0] == levels[1]


def test_readme_commands_are_the_same_in_both_languages() -> None:
    first, second = map(read_commands, READMES)
    assert first == second

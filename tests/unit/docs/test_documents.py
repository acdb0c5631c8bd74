"""The documents: links, names and commands are valid."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
import typer

from daily_batch.cli import app
from tests.support.day_runs import ROOT
from tests.support.pages import PAGES, list_anchors, name_page, read_prose

READMES = (ROOT / "README.md", ROOT / "README.ja.md")
LIBRARY = ROOT / "jobs/daily_batch"
# Pages whose `module.py` is relative to the library.
LIBRARY_PAGES = ("architecture.md", "project/how-it-works.md")


def find_broken_links(text: str, page: Path) -> Iterator[str]:
    """Yield the relative links in a page's text that are broken or leave the project."""
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        file = (page.parent / path).resolve() if path else page
        exists = file.exists() and file.is_relative_to(ROOT)
        if not exists or (anchor and (file.suffix != ".md" or anchor not in list_anchors(file))):
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
    found, added = {readme}, {readme}
    while added:
        added = {linked for page in added for linked in find_linked_pages(page)} - found
        found |= added
    assert [name_page(page) for page in PAGES if page not in found] == []


@pytest.mark.parametrize("name", LIBRARY_PAGES)
def test_pages_name_existing_modules(name: str) -> None:
    folders = [ROOT, LIBRARY, *LIBRARY.glob("*/")]
    named = set(re.findall(r"`([\w-][\w/-]+(?:\.py|\.toml|\.yaml|\.yml|/))`", read_prose(ROOT / "docs" / name)))
    own = {each for each in named if not each.startswith("_")}  # names with `_` are folders of tables
    assert len(own) > 20
    assert [each for each in sorted(own) if not any((folder / each).exists() for folder in folders)] == []


def test_every_package_of_the_library_is_in_the_architecture() -> None:
    text = read_prose(ROOT / "docs/architecture.md")
    packages = {path.parent.name for path in LIBRARY.glob("*/__init__.py")}
    assert {name for name in packages if f"`{name}/" not in text} == set()


def test_pages_name_existing_tests() -> None:
    files = list((ROOT / "tests").rglob("*.py"))
    functions = re.findall(r"def (test_\w+)\(", "\n".join(file.read_text(encoding="utf-8") for file in files))
    exists = {*functions, *(file.stem for file in files)}
    # A row's number stands for all tests that have it in their names.
    referenced = {name for page in PAGES for name in re.findall(r"\btest_\w+[a-z]\b", read_prose(page))}
    assert len(referenced) > 50
    assert sorted(referenced - exists) == []


def read_commands(page: Path) -> list[list[str]]:
    """Return the words of each complete `makoto-batch` command in a page's blocks and lines."""
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
def test_readme_names_every_command_and_no_other_target_of_make(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    names = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # it is a group
    assert [name for name in names if f"`{name}`" not in text] == []
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    used = re.findall(r"(?:`|^ {4}(?:\$ )?)make ([a-z-]+)", text, re.MULTILINE)
    assert len(used) > 5
    assert set(used) <= set(targets)


def test_readme_commands_are_the_same_in_both_languages() -> None:
    first, second = map(read_commands, READMES)
    assert first == second

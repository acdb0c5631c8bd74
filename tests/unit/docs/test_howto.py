"""The how-to pages and CONTRIBUTING.md: what they name is there, and their commands are those of the project."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.day_runs import ROOT
from tests.support.page_changes import read_changes
from tests.support.pages import PAGES, name_page, read_prose

CONTRIBUTING = ROOT / "CONTRIBUTING.md"
CHANGES = [page for page in PAGES if page.parent == ROOT / "docs/project" and page.stem.startswith("add-")]
HOWTO = [*(page for page in PAGES if page.parent == ROOT / "docs/howto"), *CHANGES]
QUICK_START = ROOT / "docs/howto/quick-start.md"
DEPLOYMENT = {"AWS": ROOT / "docs/deploy-aws.md", "Azure": ROOT / "docs/deploy-azure.md"}
MAX_COMMANDS = 10
LIBRARY = ROOT / "jobs/daily_batch"
FILE = re.compile(r"`([\w.-]+/?(?:[\w./-]+)?\.(?:py|toml|sql|sh|yaml))`|`((?:tools|tests|\.ci)/[\w/.-]+)`")
each_page = pytest.mark.parametrize("page", [*HOWTO, CONTRIBUTING], ids=name_page)


def read_lines(page: Path) -> list[str]:
    """Return the commands of a page's indented blocks: continued lines joined, without comments and extra spaces."""
    text = re.sub(r"\\\n\s*", "", page.read_text(encoding="utf-8"))
    lines = [re.sub(r" {2,}#.*", "", line) for line in re.findall(r"^ {4,}(.+)$", text, re.MULTILINE)]
    return [re.sub(r"\s+", " ", line).strip() for line in lines]


@each_page
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    found = {first or second for first, second in FILE.findall(read_prose(page))}
    below = [ROOT, LIBRARY, *LIBRARY.rglob("*/")]
    assert [name for name in sorted(found) if not any((folder / name).exists() for folder in below)] == []


@each_page
def test_make_and_pytest_are_called_with_what_there_is(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    called = re.findall(r"(?:^ +|`|&& )make ((?:[a-z-]+ ?)+)", text, re.MULTILINE)
    assert {name for names in called for name in names.split()} <= targets
    tested = re.findall(r"(?<!\w)tests/[\w/.]+", " ".join(line for line in read_lines(page) if "pytest" in line))
    tools = re.findall(r"(?<!\w)tools/[\w-]+", text)
    assert [path for path in (*tested, *tools) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", CHANGES, ids=name_page)
def test_every_symbol_that_an_example_explains_is_in_the_code(page: Path) -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in LIBRARY.rglob("*.py"))
    known = sources + "".join(change.after for change in read_changes(page))
    symbols = set(re.findall(r"`(\w+)`", read_prose(page)))
    assert symbols
    assert [name for name in sorted(symbols) if not re.search(rf"\b{name}\b", known)] == []


@pytest.mark.parametrize("cloud", DEPLOYMENT)
def test_the_quick_start_has_few_commands_and_all_are_explained_on_the_deployment_page(cloud: str) -> None:
    explained = {command for line in read_lines(DEPLOYMENT[cloud]) for command in split_commands(line)}
    explained |= {command for line in read_lines(ROOT / "docs/first-night.md") for command in split_commands(line)}
    (part,) = re.findall(rf"^## {cloud}\n(.*?)(?=^## )", QUICK_START.read_text(encoding="utf-8"), re.M | re.S)
    lines = [line for line in read_lines(QUICK_START) if line in join_lines(part)]
    assert 5 < len(lines) <= MAX_COMMANDS
    assert [each for line in lines for each in split_commands(line) if each not in explained] == []


def split_commands(line: str) -> list[str]:
    return [line] if line.startswith(("(", "out()", "ask()")) else line.split(" && ")


def join_lines(text: str) -> str:
    return re.sub(r"[ \t]+", " ", re.sub(r"\\\n\s*", "", text))


def test_a_command_that_no_page_explains_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("    sam build && \\\n        sam  deploy      # twice\n")
    assert [split_commands(line) for line in read_lines(page)] == [["sam build", "sam deploy"]]


def test_the_tool_writes_the_ddl_that_is_committed(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "tools/ddl", tmp_path], check=True)
    written = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs/ddl").iterdir()}

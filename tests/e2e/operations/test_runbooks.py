"""Check docs/runbooks: the index links every page, every alarm has a page, and their commands are valid."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
import typer
from botocore import xform_name

from daily_batch.cli import app
from tests.local_cloud.aws.template import read_deployment
from tests.support.operations.alarm_definitions import read_aws_alarms, read_azure_alarms
from tests.support.operations.aws_functions import PARAMETERS
from tests.support.spark_session import ROOT

FOLDER = ROOT / "docs/runbooks"
INDEXES = {".md": FOLDER / "README.md", ".ja.md": FOLDER / "README.ja.md"}
PAGES = sorted(path for path in FOLDER.glob("*.md") if path not in INDEXES.values())
SECTIONS = {
    ".md": ("**Meaning**", "**Check**", "**Fix**", "**Resolved when**"),
    ".ja.md": ("**意味**", "**確認**", "**対処**", "**解決条件**"),
}
each_language = pytest.mark.parametrize("suffix", SECTIONS)
# Options and commands of the AWS CLI itself, which no service model has.
CLI_OPTIONS = {"query", "output"}
CLI_COMMANDS = {("logs", "tail"), ("lambda", "invoke")}


def find_suffix(page: Path) -> str:
    """Return what the names of the pages in a page's language end with."""
    return "".join(page.suffixes)


def find_commands(page: Path, program: str) -> Iterator[list[str]]:
    """Yield the words of each command of a program in a page's code blocks and inline code."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(rf"^    ({program} .*)$", text, re.MULTILINE)
    for command in (*blocks, *re.findall(rf"`({program} [^`]+)`", text)):
        # Replace shell substitutions by a value.
        plain = re.sub(r'"\$\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"', "VALUE", command)
        yield shlex.split(plain, comments=True)


@each_language
def test_index_links_every_page(suffix: str) -> None:
    linked = set(re.findall(rf"\]\(([\w-]+{re.escape(suffix)})\)", INDEXES[suffix].read_text(encoding="utf-8")))
    assert linked == {path.name for path in PAGES if find_suffix(path) == suffix}


@each_language
def test_every_alarm_has_a_page_and_an_index_row(suffix: str) -> None:
    pages = {each.page for each in (*read_aws_alarms(read_deployment(parameters=PARAMETERS)), *read_azure_alarms())}
    assert {f"{page}{suffix}" for page in pages} <= {path.name for path in PAGES}
    index = INDEXES[suffix].read_text(encoding="utf-8")
    assert set(re.findall(r"^\| \[([\w-]+)\]", index, re.MULTILINE)) == pages


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_has_every_section_and_valid_links(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    places = [text.find(part) for part in SECTIONS[find_suffix(page)]]
    assert -1 not in places and places == sorted(places)
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        assert (FOLDER / target).resolve().exists(), target


def test_makoto_batch_commands_parse() -> None:
    commands = [each for page in (*PAGES, *INDEXES.values()) for each in find_commands(page, "makoto-batch")]
    assert {each[1] for each in commands} >= {"status", "plan", "replay", "run", "backfill"}
    group = typer.main.get_command(app)
    for _, name, *arguments in commands:
        context = typer.Context(group)
        command = group.get_command(context, name)  # type: ignore[attr-defined]  # a group
        assert command is not None, name
        command.make_context(name, list(arguments), parent=context)


def test_aws_commands_match_the_service_models() -> None:
    session = botocore.session.get_session()
    commands = [each for page in PAGES for each in find_commands(page, "aws")]
    assert len(commands) > 15
    for _, service, operation, *arguments in commands:
        if (service, operation) in CLI_COMMANDS:
            continue
        model = session.get_service_model(service)
        operations = {xform_name(name, "-"): name for name in model.operation_names}
        assert operation in operations, f"{service} {operation}"
        shape = model.operation_model(operations[operation]).input_shape
        assert shape is not None
        parameters = {xform_name(name, "-") for name in shape.members} | CLI_OPTIONS
        given = {each.removeprefix("--") for each in arguments if each.startswith("--")}
        assert given <= parameters, f"{service} {operation}: {given - parameters}"

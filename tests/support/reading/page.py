"""Parse docs/reading.md and docs/questions.md into code blocks: heading, engines and code."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from tests.support.spark_session import ROOT

PAGE = ROOT / "docs" / "reading.md"
QUESTIONS = ROOT / "docs" / "questions.md"
ENGINES = ("Athena", "DuckDB", "polars", "Spark", "delta-rs")
# The engines of a block without a name above it.
UNNAMED = {"sql": tuple(engine for engine in ENGINES if engine != "polars"), "python": ("polars",)}
_PART = re.compile(
    r"^#{2,3} (?P<heading>.+)$"
    r"|^(?:\*\*(?P<engines>.+)\*\*\n\n)?```(?P<kind>\w+)\n(?P<code>(?:.*\n)*?)```$",
    re.M,
)


class Block(NamedTuple):
    """The code below a heading, for one engine."""

    heading: str
    engine: str
    kind: str
    code: str


def read_blocks() -> list[Block]:
    """Return every block of the pages, once per engine."""
    return [block for page in (PAGE, QUESTIONS) for block in _blocks(page.read_text(encoding="utf-8"))]


def blocks_below(heading: str) -> dict[str, Block]:
    """Return the blocks of one heading by engine."""
    return {block.engine: block for block in read_blocks() if block.heading == heading}


def questions() -> list[str]:
    """Return the numbered headings."""
    return list(dict.fromkeys(block.heading for block in read_blocks() if block.heading[0].isdigit()))


def _blocks(text: str) -> Iterator[Block]:
    heading = ""
    for part in _PART.finditer(text):
        if part["heading"]:
            heading = part["heading"]
            continue
        engines = part["engines"].split(", ") if part["engines"] else UNNAMED[part["kind"]]
        for engine in engines:
            yield Block(heading, engine, part["kind"], part["code"])

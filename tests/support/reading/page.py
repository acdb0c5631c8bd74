"""Parse docs/reading.md into code blocks: heading, engines and code."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from tests.support.spark_session import ROOT

PAGE = ROOT / "docs" / "reading.md"
ENGINES = ("Athena", "DuckDB", "polars", "Spark", "delta-rs")
_PART = re.compile(
    r"^#{2,3} (?P<heading>.+)$"
    r"|^\*\*(?P<engines>.+)\*\*\n\n```(?P<kind>\w+)\n(?P<code>(?:.*\n)*?)```$",
    re.M,
)


class Block(NamedTuple):
    """The code below a heading, for one engine."""

    heading: str
    engine: str
    kind: str
    code: str


def read_blocks() -> list[Block]:
    """Return every block of the page, once per engine."""
    return list(_blocks(PAGE.read_text(encoding="utf-8")))


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
        for engine in part["engines"].split(", "):
            yield Block(heading, engine, part["kind"], part["code"])

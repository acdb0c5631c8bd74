"""The documentation's pages: their prose, headings, links and commands, and which pages are twins."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from tests.support.spark_session import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "bench").glob("*.md"), *(ROOT / "docs").rglob("*.md")])
# The Japanese pages; each says the same as its English page.
TWINS = sorted(page for page in PAGES if page.name.endswith(".ja.md"))


def name_page(page: Path) -> str:
    """Return a page's path inside the project, such as `docs/ledger.md`."""
    return page.relative_to(ROOT).as_posix()


def find_english(page: Path) -> Path:
    """Return the English page of a Japanese page."""
    return page.with_name(page.name.replace(".ja.md", ".md"))


def find_japanese(page: Path) -> Path | None:
    """Return the Japanese page of an English page, if there is one."""
    twin = page.with_name(page.name.replace(".md", ".ja.md"))
    return twin if twin in TWINS else None


@cache
def read_prose(page: Path) -> str:
    """Return a page without its fenced code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


@cache
def list_anchors(page: Path) -> list[str]:
    """Return the anchors that GitHub makes of a page's headings, in the page's order."""
    anchors: Counter[str] = Counter()
    found = []
    for heading in re.findall(r"^#+ (.+?)\s*$", read_prose(page), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        found.append(f"{slug}-{anchors[slug]}" if anchors[slug] else slug)
        anchors[slug] += 1
    return found


def find_links(text: str, page: Path) -> Iterator[tuple[str, Path, str]]:
    """Yield text, file and anchor of each relative link in a page's text."""
    for shown, target in re.findall(r"\[([^\]]*)\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = unquote(target).partition("#")
            yield shown, (page.parent / path).resolve() if path else page, anchor

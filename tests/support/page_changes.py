"""Read and apply the changes to the code that a page describes: `diff` blocks without line numbers."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_BLOCK = re.compile(r"^```diff\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE = "--- "


class Change(NamedTuple):
    """Lines of a file, and what replaces them; without lines before, those after are appended."""

    path: str
    before: str
    after: str

    def apply(self, root: Path) -> None:
        """Change the file below a folder; its lines must stand there once."""
        file = root / self.path
        text = file.read_text(encoding="utf-8")
        if self.before:
            assert f"\n{text}".count(f"\n{self.before}") == 1, self
            text = f"\n{text}".replace(f"\n{self.before}", f"\n{self.after}")[1:]
        else:
            text += self.after
        file.write_text(text, encoding="utf-8")


def read_changes(page: Path) -> list[Change]:
    """Return a page's changes, in its order; a file's next change begins at the first line behind added ones."""
    return [change for block in _BLOCK.findall(page.read_text(encoding="utf-8")) for change in _split(block)]


def _split(block: str) -> Iterator[Change]:
    path, before, after, added = "", "", "", False
    for line in [*block.splitlines(), _FILE]:
        sign, text = line[:1], f"{line[1:]}\n"
        if line.startswith(_FILE) or (added and sign != "+"):
            if after:
                yield Change(path, before, after)
            before, after, added = "", "", False
        if line.startswith(_FILE):
            path = line.removeprefix(_FILE)
            continue
        assert sign in (" ", "-", "+"), line
        before += "" if sign == "+" else text
        after += "" if sign == "-" else text
        added = sign == "+"

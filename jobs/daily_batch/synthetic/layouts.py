"""The two ways in which the writers lay out JSON: a line of an export, and an object of its own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """What stands around the members of a record; each member but the last ends in a comma."""

    begin: bytes
    pad: bytes
    colon: bytes
    end: bytes
    indent: int | None

    def member(self, name: str, value: bytes) -> bytes:
        """One member with the comma that follows it; `value` is JSON."""
        return b'%b"%b"%b%b,' % (self.pad, name.encode(), self.colon, value)

    def tail(self, members: Mapping[str, object]) -> bytes:
        """Members that follow the last one, each behind its comma."""
        separators = (",", ":") if self.indent is None else (",", ": ")
        text = json.dumps(members, ensure_ascii=False, indent=self.indent, separators=separators)
        return b"," + text[1:-1].rstrip("\n").encode() if members else b""


COMPACT = Style(b"{", b"", b":", b"}", None)
PRETTY = Style(b"{", b"\n  ", b": ", b"\n}", 2)


def quote(text: str) -> bytes:
    """A JSON text, non-ASCII kept."""
    return json.dumps(text, ensure_ascii=False).encode()

"""Texts of objects: records in lines, arrays and wrappers, whole, cut or damaged; then encodings and containers."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from random import Random

from backports import zstd

from fuzz.records import RecordMaker
from fuzz.tokens import CANARY, TEXTS, WRONG, value

Make = Callable[[], str]
ENDS = ["\n", "\n", "\n", "\n", "\n", "\r\n", "", " ", "\n\n", ",\n", ",", "\r", "\n \n", "\x1e\n", "\x0b\n", "\u2028", "\n\x1e"]
BETWEEN = [
    *("", " ", "\t", "\r", "\x0b", "\x0c", "\x1c", "\x1e", "\x1f", "\x85", "\xa0", "\u2028", "\ufeff", "\ufeff ", "\0"),
    *("null", "true", "12", '"a"', '"', "x", ",", "]", "}", "[", "{", "[]", "{}", "[[]]", "[1", "--", "# comment", "{]"),
    *(f"2025-08-12 INFO {CANARY}", "  {", "\t[", "],", "},", "}{", "[{", "[[", '{"', '{"a":', '{"a":[', "null,", "1e5x"),
]  # fmt: skip
MARKS = ['"', ",", "}", "{", "[", "]", "\\", "\x01", " ", ":", "\n", "\ufeff", "\x1e", "\0", "\t", "\\u", "\n{", "é", "\n\n"]
BYTES = [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f", b"\xc0\x80", b"\xef\xbb", b"\xef\xbb\xbf", b"\x00", b"\xfe\xff"]


def document(rng: Random, records: RecordMaker, count: int) -> bytes:
    """A text of about so many records."""
    text, left = "", count
    while left > 0:
        taken = min(left, rng.choice((1, 2, 5, 20)))
        text += _block(rng, records, taken)
        left -= taken
        if rng.random() < 0.3:
            text += rng.choice(BETWEEN) + rng.choice(ENDS)
    body = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.1:
        body = _damage_bytes(rng, body)
    return body


def one_record(rng: Random, records: RecordMaker, **known: str) -> str:
    """A record's text, cut or damaged at times."""
    members = records.members(**known)
    roll = rng.random()
    if roll < 0.06:
        text = records.pretty(members, rng.choice(("  ", "\t", "", " ")), rng.choice(("", "", "  ")))
    else:
        text = records.render(members)
    return _damaged(rng, text) if rng.random() < 0.12 else text


def _block(rng: Random, records: RecordMaker, count: int) -> str:
    kind = rng.choices(("lines", "array", "wrapper", "sequence", "joined"), (70, 14, 8, 3, 5))[0]
    found = [one_record(rng, records) for _ in range(count)]
    if kind == "array":
        return _array(rng, found) + rng.choice(ENDS)
    if kind == "wrapper":
        return _wrapper(rng, found) + rng.choice(ENDS)
    if kind == "sequence":
        return "".join(f"\x1e{text}\n" for text in found)
    if kind == "joined":
        return "".join(found) + rng.choice(ENDS)
    end = rng.choice(ENDS)
    return "".join(text + (end if rng.random() < 0.95 else rng.choice(ENDS)) for text in found)


def _array(rng: Random, found: list[str]) -> str:
    """An array on a line or over lines, with elements of other kinds, closed or not."""
    elements = [text if rng.random() < 0.94 else rng.choice((value(rng), rng.choice(WRONG), "[]", "null")) for text in found]
    indent = rng.choice(("", "", "  ", "\t"))
    before, comma, after = rng.choice(
        [("", ",", ""), ("", ", ", ""), ("\n", ",\n", "\n"), ("\n", ",\n\n", "\n"), ("", "\n,", "\n"), (" ", " ,\r\n", " ")]
    )
    text = "[" + before
    for at, element in enumerate(elements):
        text += (comma if at else "") + indent + element
        if at and rng.random() < 0.02:
            text += rng.choice(("", "\n", ",", "x", "]", "}", " ", ",,", "\x1e", "\ufeff", "\0"))
    text += after + rng.choice(("]", "]", "]", "]", "", "}", ",]", "] x", "]]"))
    if rng.random() < 0.1:
        text = text.replace("{", "{\n ").replace(",", ",\n ")
    return _cut(rng, text) if rng.random() < 0.1 else text


def _wrapper(rng: Random, found: list[str]) -> str:
    """An object around a list of records, whole or cut."""
    name = rng.choice(("messages", "items", "attachments", "x", "data", "id"))
    inner = _array(rng, found)
    other = rng.choice(("", "", '"total":3,', '"id":"x",', '"ok":true,\n', f'"{CANARY}":"{CANARY}",'))
    text = rng.choice(('{{{0}"{1}":{2}}}', '{{\n  {0}\n  "{1}": {2}\n}}', '{{{0}"{1}":{2},"next":null}}', '{{{0}"data":{{"{1}":{2}}}}}'))
    text = text.format(other, name, inner)
    return _cut(rng, text) if rng.random() < 0.3 else text


def _cut(rng: Random, text: str) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] if rng.random() < 0.7 else text[at:]


def _damaged(rng: Random, text: str) -> str:
    roll = rng.randrange(8)
    at = rng.randrange(len(text) + 1)
    if roll == 0:
        return _cut(rng, text)
    if roll == 1:  # over lines, as a log driver does it
        places = sorted(rng.randrange(len(text) + 1) for _ in range(rng.randrange(1, 4)))
        parts = [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]
        return rng.choice(("\n", "\n", "\n\n", "\n ", "\r\n", "\nINFO ")).join(parts)
    if roll == 2:
        return text[:at] + rng.choice(MARKS) + text[at:]
    if roll == 3:
        return text[:at] + rng.choice(MARKS) + text[at + 1 :]
    if roll == 4:  # without one mark of JSON
        marks = [place for place, letter in enumerate(text) if letter in '{}[]:,"']
        place = rng.choice(marks) if marks else 0
        return text[:place] + text[place + 1 :]
    if roll == 5:
        return text + rng.choice((" x", "}", ",", "{}", "[]", "\r", text, "\n" + text, " " + text, ":", '"', "]"))
    if roll == 6:
        return rng.choice((" ", "  ", "\t", "\ufeff", "\x1e", "x", ",", "[", "(", "\x0b", '"', "}", "﻿ ", "data: ")) + text
    return text[:at] + rng.choice((rng.choice(TEXTS), rng.choice(WRONG))) + text[at:]


def _damage_bytes(rng: Random, body: bytes) -> bytes:
    for _ in range(rng.choice((1, 1, 3))):
        at = rng.randrange(len(body) + 1)
        end = min(len(body), at + rng.choice((0, 0, 1, 1, 5, 200)))
        part = rng.choice((rng.choice(BYTES), bytes([rng.randrange(256)]), b"", body[at:end] * 2, b"\n"))
        body = body[:at] + part + body[end:]
    return body


def stored(rng: Random, body: bytes) -> tuple[bytes, str]:
    """The text as an object holds it, and how its name should end."""
    roll = rng.random()
    if roll < 0.04:
        body = b"\xef\xbb\xbf" + body
    elif roll < 0.09:
        wide = body.decode("utf-8", "replace")
        coded = rng.choice(("utf-16", "utf-32", "utf-16-be", "utf-32-be", "utf-16-le"))
        body = ("\ufeff" + wide if coded.endswith("e") else wide).encode(coded)
        body = body[: -1 if rng.random() < 0.1 else None]
    elif roll < 0.11:
        body = body.replace(b"\n", b"\r\n")
    elif roll < 0.12:
        body = rng.choice((b"\0", b"\0" * 20, b"\n", b"\x1e", b" ", b"PAR1", b"\xff\xfe", b"GIF89a")) + body
    roll = rng.random()
    if roll < 0.1:
        return _packed(rng, body), ".gz"
    if roll < 0.15:
        return _frames(rng, body), ".zst"
    if roll < 0.17:
        return _container(rng, body), rng.choice(("", ".gz", ".zst"))
    return body, ""


def _packed(rng: Random, body: bytes) -> bytes:
    at = rng.randrange(len(body) + 1)
    whole = gzip.compress(body, 1, mtime=0)
    two = gzip.compress(body[:at], 1, mtime=0) + gzip.compress(body[at:], 1, mtime=0)
    return rng.choice((whole, whole, two, two + b"\0" * 9, whole[:-3], whole[:at], whole + b"x", gzip.compress(whole)))


def _frames(rng: Random, body: bytes) -> bytes:
    at = rng.randrange(len(body) + 1)
    whole, two = zstd.compress(body, 1), zstd.compress(body[:at], 1) + zstd.compress(body[at:], 1)
    skipped = b"\x50\x2a\x4d\x18\x02\0\0\0ab"
    return rng.choice((whole, whole, two, skipped + whole, whole + skipped, whole[:-3], whole + b"x", gzip.compress(whole)))


def _container(rng: Random, body: bytes) -> bytes:
    file = io.BytesIO()
    roll = rng.randrange(4)
    if roll == 0:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            entry = tarfile.TarInfo("a.json")
            entry.size = len(body)
            tar.addfile(entry, io.BytesIO(body))
        return file.getvalue()
    if roll == 1:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(zipfile.ZipInfo("a.json"), body)
        return file.getvalue()
    if roll == 2:
        return rng.choice((b"", b" \n", b"\0\0", b"\xef\xbb\xbf", b"\xff\xfe", b"[", b"]", b"{", b'"', b"null", b"\x0c", b"\x0b\n"))
    return rng.randbytes(rng.choice((1, 3, 20, 400))) + rng.choice((b"", body))

"""Texts of objects: records in lines, arrays and wrappers, complete, truncated or damaged."""

from random import Random

from tests.properties.fuzz.records import RecordMaker
from tests.properties.fuzz.tokens import CANARY, INVALID, TEXTS, value

ENDS = [*["\n"] * 20, "\r\n", "", " ", "\n\n", ",\n", ",", "\r", "\n \n", "\x1e\n", "\x0b\n", "\u2028", "\n\x1e"]
BETWEEN = [
    *("", " ", "\t", "\r", "\x0b", "\x0c", "\x1c", "\x1e", "\x1f", "\x85", "\xa0", "\u2028", "\ufeff", "\ufeff ", "\0"),
    *("null", "true", "12", '"a"', '"', "x", ",", "]", "}", "[", "{", "[]", "{}", "[[]]", "[1"),
    *("--", "# comment", "{]"),
    *(f"2025-08-12 INFO {CANARY}", "  {", "\t[", "],", "},", "}{", "[{"),
    *("[[", '{"', '{"a":', '{"a":[', "null,", "1e5x"),
]  # fmt: skip
MARKS = [
    '"',
    ",",
    "}",
    "{",
    "[",
    "]",
    "\\",
    "\x01",
    " ",
    ":",
    "\n",
    "\ufeff",
    "\x1e",
    "\0",
    "\t",
    "\\u",
    "\n{",
    "é",
    "\n\n",
    "\udc80",
    "\ud83d",
]
BYTES = [
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xf0\x9f",
    b"\xc0\x80",
    b"\xef\xbb",
    b"\xef\xbb\xbf",
    b"\x00",
    b"\xfe\xff",
]


def make_document(rng: Random, records: RecordMaker, count: int) -> bytes:
    """Return a text of about `count` records."""
    text, remaining = "", count
    while remaining > 0:
        size = min(remaining, rng.choice((1, 2, 5, 20)))
        text += _block(rng, records, size)
        remaining -= size
        if rng.random() < 0.3:
            text += rng.choice(BETWEEN) + rng.choice(ENDS)
    body = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.1:
        body = _damage_bytes(rng, body)
    return body


def make_record(rng: Random, records: RecordMaker, **known: str) -> str:
    """Return a record's text, sometimes truncated or damaged."""
    members = records.members(**known)
    roll = rng.random()
    if roll < 0.06:
        text = records.pretty(members, rng.choice(("  ", "\t", "", " ")), rng.choice(("", "", "  ")))
    else:
        text = records.render(members)
    return _damage(rng, text) if rng.random() < 0.12 else text


def _block(rng: Random, records: RecordMaker, count: int) -> str:
    kind = rng.choices(("lines", "array", "wrapper", "sequence", "joined"), (70, 14, 8, 3, 5))[0]
    texts = [make_record(rng, records) for _ in range(count)]
    if kind == "array":
        return _array(rng, texts) + rng.choice(ENDS)
    if kind == "wrapper":
        return _wrapper(rng, texts) + rng.choice(ENDS)
    if kind == "sequence":
        return "".join(f"\x1e{text}\n" for text in texts)
    if kind == "joined":
        return "".join(texts) + rng.choice(ENDS)
    end = rng.choice(ENDS)
    return "".join(text + (end if rng.random() < 0.95 else rng.choice(ENDS)) for text in texts)


def _array(rng: Random, texts: list[str]) -> str:
    """Return an array on one line or several, with elements of other kinds, closed or not."""
    elements = [
        text if rng.random() < 0.94 else rng.choice((value(rng), rng.choice(INVALID), "[]", "null")) for text in texts
    ]
    indent = rng.choice(("", "", "  ", "\t"))
    before, comma, after = rng.choice(
        [
            ("", ",", ""),
            ("", ", ", ""),
            ("\n", ",\n", "\n"),
            ("\n", ",\n\n", "\n"),
            ("", "\n,", "\n"),
            (" ", " ,\r\n", " "),
        ]
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


def _wrapper(rng: Random, texts: list[str]) -> str:
    """Return an object that wraps a list of records, complete or truncated."""
    name = rng.choice(("messages", "items", "attachments", "x", "data", "id"))
    inner = _array(rng, texts)
    member = rng.choice(("", "", '"total":3,', '"id":"x",', '"ok":true,\n', f'"{CANARY}":"{CANARY}",'))
    text = rng.choice(
        (
            '{{{0}"{1}":{2}}}',
            '{{\n  {0}\n  "{1}": {2}\n}}',
            '{{{0}"{1}":{2},"next":null}}',
            '{{{0}"data":{{"{1}":{2}}}}}',
        )
    )
    text = text.format(member, name, inner)
    return _cut(rng, text) if rng.random() < 0.3 else text


def _cut(rng: Random, text: str) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] if rng.random() < 0.7 else text[at:]


def _damage(rng: Random, text: str) -> str:
    roll = rng.randrange(8)
    at = rng.randrange(len(text) + 1)
    if roll == 0:
        return _cut(rng, text)
    if roll == 1:  # split over lines, as a log driver does
        positions = sorted(rng.randrange(len(text) + 1) for _ in range(rng.randrange(1, 4)))
        parts = [text[a:b] for a, b in zip([0, *positions], [*positions, len(text)], strict=True)]
        return rng.choice(("\n", "\n", "\n\n", "\n ", "\r\n", "\nINFO ")).join(parts)
    if roll == 2:
        return text[:at] + rng.choice(MARKS) + text[at:]
    if roll == 3:
        return text[:at] + rng.choice(MARKS) + text[at + 1 :]
    if roll == 4:  # without one punctuation mark of JSON
        marks = [position for position, letter in enumerate(text) if letter in '{}[]:,"']
        position = rng.choice(marks) if marks else 0
        return text[:position] + text[position + 1 :]
    if roll == 5:
        return text + rng.choice((" x", "}", ",", "{}", "[]", "\r", text, "\n" + text, " " + text, ":", '"', "]"))
    if roll == 6:
        return (
            rng.choice((" ", "  ", "\t", "\ufeff", "\x1e", "x", ",", "[", "(", "\x0b", '"', "}", "﻿ ", "data: ")) + text
        )
    return text[:at] + rng.choice((rng.choice(TEXTS), rng.choice(INVALID))) + text[at:]


def _damage_bytes(rng: Random, body: bytes) -> bytes:
    for _ in range(rng.choice((1, 1, 3))):
        at = rng.randrange(len(body) + 1)
        end = min(len(body), at + rng.choice((0, 0, 1, 1, 5, 200)))
        part = rng.choice((rng.choice(BYTES), bytes([rng.randrange(256)]), b"", body[at:end] * 2, b"\n"))
        body = body[:at] + part + body[end:]
    return body

"""Mutations of a record's structure: fields removed, duplicated, renamed, retyped, nested deeper, unlisted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.properties.fuzz.tokens import CANARY, INVALID, escape, instant, number, text, value

if TYPE_CHECKING:
    from random import Random

    from tests.properties.fuzz.records import RecordMaker

# Members of an object: key and value, each as JSON text.
Members = list[tuple[str, str]]
ALIASES = {"message_id": "id", "room_id": "chat_id", "generated_images": "images", "context": "crawl_sources"}
UNLISTED = [
    "x",
    "client",
    "id",
    "chat_id",
    "tenant_id",
    "content ",
    "Content",
    "size",
    "",
    "messages",
    "é",
    "$.x",
    "a.b",
]
LISTED = ["message_id", "user_id", "room_id", "timestamp", "role", "content", "attachments", "generated_images"]
LISTED += ["images", "context", "crawl_sources", "agent_info", "id", "chat_id"]
DEPTHS = (2, 7, 100, 509, 510, 511, 512, 513, 590)


def _drop(maker: RecordMaker, members: Members) -> None:
    if members:
        del members[maker.rng.randrange(len(members))]


def _duplicate(maker: RecordMaker, members: Members) -> None:
    rng = maker.rng
    if members:
        key, each = rng.choice(members)
        duplicate_key = rng.choice((key, escape(rng, key[1:-1]), key[:-1] + '\\ud800"'))
        members.insert(rng.randrange(len(members) + 1), (duplicate_key, rng.choice((each, each, "null", value(rng)))))


def _rename(maker: RecordMaker, members: Members) -> None:
    rng = maker.rng
    for at, (key, each) in enumerate(members):
        name = key[1:-1]
        if rng.random() < 0.4:
            other = ALIASES.get(name, rng.choice((name.upper(), name + " ", " " + name, name[:-1], "_" + name)))
            members[at] = (f'"{other}"', each)
            return


def _escape_key(maker: RecordMaker, members: Members) -> None:
    if members:
        at = maker.rng.randrange(len(members))
        key, each = members[at]
        members[at] = (escape(maker.rng, key[1:-1].replace("\\", "")), each)


def _reorder(maker: RecordMaker, members: Members) -> None:
    maker.rng.shuffle(members)


def _replace_value(maker: RecordMaker, members: Members, make: Callable[[Random], str]) -> None:
    if members:
        at = maker.rng.randrange(len(members))
        members[at] = (members[at][0], make(maker.rng))


def _retype(maker: RecordMaker, members: Members) -> None:
    _replace_value(maker, members, value)


def _invalid_token(maker: RecordMaker, members: Members) -> None:
    _replace_value(maker, members, lambda rng: rng.choice(INVALID))


def _number(maker: RecordMaker, members: Members) -> None:
    _replace_value(maker, members, number)


def _wrap_value(maker: RecordMaker, members: Members) -> None:
    if members:
        at = maker.rng.randrange(len(members))
        key, each = members[at]
        wrapped = maker.rng.choice((f"[{each}]", f'{{"value":{each}}}', f"[[{each}],{each}]", f"[{{{key}:{each}}}]"))
        members[at] = (key, wrapped)


def _deepen(maker: RecordMaker, members: Members) -> None:
    rng = maker.rng
    depth = rng.choice(DEPTHS)
    left, right = rng.choice((("[", "]"), ('{"a":', "}")))
    closed = depth if rng.random() < 0.7 else rng.randrange(depth + 1)
    members.append(
        (f'"{rng.choice(UNLISTED)}"', left * depth + rng.choice(("1", "", "x", '"\\ud800"')) + right * closed)
    )


def _unlisted(maker: RecordMaker, members: Members) -> None:
    rng = maker.rng
    key = rng.choice((f'"{rng.choice(UNLISTED)}"', text(rng)))
    members.insert(rng.randrange(len(members) + 1), (key, rng.choice((value(rng, 3), f'"{CANARY}"'))))


def _add_listed(maker: RecordMaker, members: Members) -> None:
    name = maker.rng.choice(LISTED)
    nested = name in ("attachments", "generated_images", "images", "context", "crawl_sources", "agent_info")
    members.append((f'"{name}"', maker.nested(name) if nested else value(maker.rng)))


def _set_time(maker: RecordMaker, members: Members) -> None:
    members[:] = [member for member in members if member[0] != '"timestamp"']
    members.insert(maker.rng.randrange(len(members) + 1), ('"timestamp"', instant(maker.rng)))


def _embed(maker: RecordMaker, members: Members) -> None:
    """Put a record into another one, as an object or as a string."""
    rng = maker.rng
    embedded = maker.render(rng.choice(maker.recent) if maker.recent else members)
    if rng.random() < 0.3:
        embedded = '"' + embedded.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if rng.random() < 0.3:
        embedded = rng.choice(
            (f"\n{embedded}\n", f"[{embedded},\n{embedded}]", f"[\n{embedded}\n,{embedded}]", f"\n  {embedded}")
        )
    members.insert(rng.randrange(len(members) + 1), (rng.choice(('"reply_to"', '"x"', '"context"')), embedded))


def _null(maker: RecordMaker, members: Members) -> None:
    if members:
        at = maker.rng.randrange(len(members))
        members[at] = (members[at][0], maker.rng.choice(("null", '""')))


def _same_key(maker: RecordMaker, members: Members) -> None:
    """Use one of a few ids, so that keys repeat."""
    members[:] = [member for member in members if member[0] != '"message_id"']
    name = maker.rng.choice(("message_id", "message_id", "id"))
    members.append((f'"{name}"', maker.rng.choice(('"m1"', '"m2"', "7", "7.0", '"7"'))))


MUTATIONS: list[Callable[[RecordMaker, Members], None]] = [
    *(_drop, _duplicate, _rename, _escape_key, _reorder, _retype, _invalid_token, _number, _wrap_value, _deepen),
    *(_rename, _reorder, _escape_key, _unlisted, _unlisted, _add_listed, _add_listed, _set_time, _set_time, _set_time),
    *(_embed, _null, _same_key),
]

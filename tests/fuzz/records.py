"""Records: as specified, then changed in structure."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from fuzz.tokens import CANARY, WRONG, escape, instant, number, text, value

Members = list[tuple[str, str]]
ALIASES = {"message_id": "id", "room_id": "chat_id", "generated_images": "images", "context": "crawl_sources"}
UNLISTED = ["x", "client", "id", "chat_id", "tenant_id", "content ", "Content", "size", "", "messages", "é", "$.x", "a.b"]
NESTED = {
    "attachments": ("type", "url", "thumbnail", "name", "size"),
    "generated_images": ("url", "thumbnail", "prompt", "size", "style"),
    "sources": ("title", "source", "text", "score", "content"),
    "agent_info": ("mode", "execution_time_ms", "tokens_used"),
}
NUMERIC = ("score", "execution_time_ms", "tokens_used")
LISTED = ["message_id", "user_id", "room_id", "timestamp", "role", "content", "attachments", "generated_images"]
LISTED += ["images", "context", "crawl_sources", "agent_info", "id", "chat_id"]
SPACES = ["", "", "", " ", "  ", "\t", "\n", "\r\n", " \n\t ", "\x0b", "\x0c", "\xa0", "\ufeff", "\x1e"]
DEPTHS = (2, 7, 100, 509, 510, 511, 512, 513, 590)


@dataclass
class RecordMaker:
    """Makes the records of one day; `made` keeps some of them, to come again as they are or changed."""

    rng: Random
    made: list[Members] = field(default_factory=list)
    count: int = 0

    def members(self, **known: str) -> Members:
        """Fields of a record, mutated or not; `known` are values that a key tells."""
        rng = self.rng
        if self.made and rng.random() < 0.15:
            members = list(rng.choice(self.made))
            if rng.random() < 0.5:
                return members
        else:
            members = self._specified(known)
        if rng.random() < 0.6:
            for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
                rng.choice(MUTATIONS)(self, members)
        if len(self.made) < 50:
            self.made.append(list(members))
        else:
            self.made[rng.randrange(50)] = list(members)
        return members

    def _specified(self, known: dict[str, str]) -> Members:
        rng = self.rng
        self.count += 1
        minute, second = divmod(self.count % 3600, 60)
        fields = {
            "message_id": f'"m{self.count}"',
            "user_id": f'"u{rng.randrange(4)}"',
            "room_id": f'"r{rng.randrange(4)}"',
            "timestamp": f'"2025-08-12T01:{minute:02}:{second:02}.250Z"',
            "role": rng.choice(('"user"', '"assistant"')),
            "content": text(rng),
        } | known
        members = list(fields.items())
        for name in ("attachments", "generated_images", "context", "agent_info"):
            if rng.random() < 0.12:
                members.append((name, self.nested(name)))
        return [(f'"{name}"', each) for name, each in members]

    def nested(self, name: str) -> str:
        """A value of a field that holds more than a text."""
        rng = self.rng
        if name == "context":
            names = rng.choices(("rag_sources", "crawl_sources", "x"), (6, 2, 1), k=rng.choice((1, 1, 1, 2)))
            return self.render([(f'"{each}"', self.nested("sources")) for each in names])
        fields = NESTED.get(name, NESTED["sources" if name == "crawl_sources" else "generated_images"])
        if name == "agent_info":
            return self._part(fields)
        return "[" + ",".join(self._part(fields) for _ in range(rng.randrange(4))) + "]"

    def _part(self, fields: tuple[str, ...]) -> str:
        rng = self.rng
        chosen = [name for name in fields if rng.random() < 0.8]
        if rng.random() < 0.1:
            rng.shuffle(chosen)
        if rng.random() < 0.1:
            chosen.append(rng.choice((*fields, "y")))
        return self.render([(f'"{name}"', self._leaf(name, fields)) for name in chosen])

    def _leaf(self, name: str, fields: tuple[str, ...]) -> str:
        rng = self.rng
        if rng.random() < 0.06:
            return value(rng)
        if name in NUMERIC or (name == "size" and "type" in fields):
            return number(rng) if rng.random() < 0.3 else str(rng.randrange(10**6))
        return "null" if rng.random() < 0.1 else text(rng)

    def render(self, members: Members) -> str:
        """As one text: compact, spaced, at times with odd white space or something missing."""
        rng = self.rng
        roll = rng.random()
        if roll < 0.03:
            gap = rng.choice(SPACES)
            return "{" + gap + f"{gap},{gap}".join(f"{key}{gap}:{gap}{each}" for key, each in members) + gap + "}"
        if roll < 0.05:
            parts = [part for key, each in members for part in (key, ":", each, ",")][:-1]
            if parts:
                at = rng.randrange(len(parts))
                parts[at : at + 1] = rng.choice(([], [parts[at]] * 2, [rng.choice(WRONG)], [";"], ["="]))
            return "{" + "".join(parts) + rng.choice(("}", "}", ",}", "]", "", "}}"))
        comma, colon = rng.choice(((",", ":"), (",", ":"), (", ", ": ")))
        return "{" + comma.join(f"{key}{colon}{each}" for key, each in members) + "}"

    def pretty(self, members: Members, indent: str = "  ", before: str = "") -> str:
        """Over lines."""
        lines = [f"{before}{indent}{key}: {each}" for key, each in members]
        return "{\n" + ",\n".join(lines) + f"\n{before}}}"


def _drop(maker: RecordMaker, members: Members) -> None:
    if members:
        del members[maker.rng.randrange(len(members))]


def _double(maker: RecordMaker, members: Members) -> None:
    rng = maker.rng
    if members:
        key, each = rng.choice(members)
        again = rng.choice((key, escape(rng, key[1:-1]), key[:-1] + '\\ud800"'))
        members.insert(rng.randrange(len(members) + 1), (again, rng.choice((each, each, "null", value(rng)))))


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


def _retype(maker: RecordMaker, members: Members) -> None:
    if members:
        at = maker.rng.randrange(len(members))
        members[at] = (members[at][0], value(maker.rng))


def _wrong_token(maker: RecordMaker, members: Members) -> None:
    if members:
        at = maker.rng.randrange(len(members))
        members[at] = (members[at][0], maker.rng.choice(WRONG))


def _number(maker: RecordMaker, members: Members) -> None:
    if members:
        at = maker.rng.randrange(len(members))
        members[at] = (members[at][0], number(maker.rng))


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
    members.append((f'"{rng.choice(UNLISTED)}"', left * depth + rng.choice(("1", "", "x", '"\\ud800"')) + right * closed))


def _unlisted(maker: RecordMaker, members: Members) -> None:
    rng = maker.rng
    key = rng.choice((f'"{rng.choice(UNLISTED)}"', text(rng)))
    members.insert(rng.randrange(len(members) + 1), (key, rng.choice((value(rng, 3), f'"{CANARY}"'))))


def _listed(maker: RecordMaker, members: Members) -> None:
    name = maker.rng.choice(LISTED)
    nested = name in ("attachments", "generated_images", "images", "context", "crawl_sources", "agent_info")
    members.append((f'"{name}"', maker.nested(name) if nested else value(maker.rng)))


def _set_time(maker: RecordMaker, members: Members) -> None:
    members[:] = [member for member in members if member[0] != '"timestamp"']
    members.insert(maker.rng.randrange(len(members) + 1), ('"timestamp"', instant(maker.rng)))


def _quote(maker: RecordMaker, members: Members) -> None:
    """Quote a record in another one, as an object or as a text."""
    rng = maker.rng
    quoted = maker.render(rng.choice(maker.made) if maker.made else members)
    if rng.random() < 0.3:
        quoted = '"' + quoted.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if rng.random() < 0.3:
        quoted = rng.choice((f"\n{quoted}\n", f"[{quoted},\n{quoted}]", f"[\n{quoted}\n,{quoted}]", f"\n  {quoted}"))
    members.insert(rng.randrange(len(members) + 1), (rng.choice(('"reply_to"', '"x"', '"context"')), quoted))


def _null(maker: RecordMaker, members: Members) -> None:
    if members:
        at = maker.rng.randrange(len(members))
        members[at] = (members[at][0], maker.rng.choice(("null", '""')))


def _same_key(maker: RecordMaker, members: Members) -> None:
    """An id of few, so that keys come twice."""
    members[:] = [member for member in members if member[0] != '"message_id"']
    name = maker.rng.choice(("message_id", "message_id", "id"))
    members.append((f'"{name}"', maker.rng.choice(('"m1"', '"m2"', "7", "7.0", '"7"'))))


Mutation = Callable[[RecordMaker, Members], None]
MUTATIONS: list[Mutation] = [
    *(_drop, _double, _rename, _escape_key, _reorder, _retype, _wrong_token, _number, _wrap_value, _deepen),
    *(_unlisted, _unlisted, _listed, _listed, _set_time, _set_time, _quote, _null, _same_key),
]  # fmt: skip

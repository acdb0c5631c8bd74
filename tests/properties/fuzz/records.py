"""Records: as specified, then mutated in structure."""

from dataclasses import dataclass, field
from random import Random

from tests.properties.fuzz.mutations import MUTATIONS, Members
from tests.properties.fuzz.tokens import INVALID, number, text, value

NESTED = {
    "attachments": ("type", "url", "thumbnail", "name", "size"),
    "generated_images": ("url", "thumbnail", "prompt", "size", "style"),
    "sources": ("title", "source", "text", "score", "content"),
    "agent_info": ("mode", "execution_time_ms", "tokens_used"),
}
NUMERIC = ("score", "execution_time_ms", "tokens_used")
SPACES = ["", "", "", " ", "  ", "\t", "\n", "\r\n", " \n\t ", "\x0b", "\x0c", "\xa0", "\ufeff", "\x1e"]


@dataclass
class RecordMaker:
    """Makes the records of one day; `recent` holds some of them, to be repeated unchanged or mutated."""

    rng: Random
    recent: list[Members] = field(default_factory=list)
    count: int = 0

    def members(self, **known: str) -> Members:
        """Return the members of a record, mutated or not; `known` are the values that its object key names."""
        rng = self.rng
        if self.recent and rng.random() < 0.15:
            members = list(rng.choice(self.recent))
            if rng.random() < 0.5:
                return members
        else:
            members = self._specified(known)
        if rng.random() < 0.55:
            for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
                rng.choice(MUTATIONS)(self, members)
        if len(self.recent) < 50:
            self.recent.append(list(members))
        else:
            self.recent[rng.randrange(50)] = list(members)
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
        """Return a value of a field that holds an array or an object."""
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
        """Return the record as one text: compact or spaced, sometimes with unusual white space or a missing token."""
        rng = self.rng
        roll = rng.random()
        if roll < 0.03:
            gap = rng.choice(SPACES)
            return "{" + gap + f"{gap},{gap}".join(f"{key}{gap}:{gap}{each}" for key, each in members) + gap + "}"
        if roll < 0.05:
            parts = [part for key, each in members for part in (key, ":", each, ",")][:-1]
            if parts:
                at = rng.randrange(len(parts))
                parts[at : at + 1] = rng.choice(([], [parts[at]] * 2, [rng.choice(INVALID)], [";"], ["="]))
            return "{" + "".join(parts) + rng.choice(("}", "}", ",}", "]", "", "}}"))
        comma, colon = rng.choice(((",", ":"), (",", ":"), (", ", ": ")))
        return "{" + comma.join(f"{key}{colon}{each}" for key, each in members) + "}"

    def pretty(self, members: Members, indent: str = "  ", before: str = "") -> str:
        """Return the record pretty-printed."""
        lines = [f"{before}{indent}{key}: {each}" for key, each in members]
        return "{\n" + ",\n".join(lines) + f"\n{before}}}"

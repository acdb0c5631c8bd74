"""The JSON of a message's content and optional members, drawn from pools so that a message costs microseconds."""

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from random import Random
from typing import NamedTuple

POOL = 2048  # a power of two, so that random bits pick from it without a bias
_LONG_EVERY = 256  # one explanation in so many is 100 sentences long
PHRASES: Mapping[str, tuple[str, ...]] = {
    name: tuple(items)
    for name, items in tomllib.loads(
        (resources.files(__package__) / "phrases.toml").read_text(encoding="utf-8")
    ).items()
}


@dataclass(frozen=True)
class Style:
    """The layout of a JSON record; each member but the last ends in a comma."""

    begin: bytes
    pad: bytes
    colon: bytes
    end: bytes
    indent: int | None

    def member(self, name: str, value: bytes) -> bytes:
        """Return one member and the comma after it; `value` is JSON."""
        return b'%b"%b"%b%b,' % (self.pad, name.encode(), self.colon, value)

    def tail(self, members: Mapping[str, object]) -> bytes:
        """Return members to append after the last one, each with a comma before it."""
        separators = (",", ":") if self.indent is None else (",", ": ")
        text = json.dumps(members, ensure_ascii=False, indent=self.indent, separators=separators)
        return b"," + text[1:-1].rstrip("\n").encode() if members else b""


COMPACT = Style(b"{", b"", b":", b"}", None)  # a line of an export
PRETTY = Style(b"{", b"\n  ", b": ", b"\n}", 2)  # an object of one message


def quote(text: str) -> bytes:
    """Return a text as a JSON string, its non-ASCII characters unescaped."""
    return json.dumps(text, ensure_ascii=False).encode()


class Text(NamedTuple):
    """A piece of content as JSON without its quotes, and its length in code points."""

    json: bytes
    length: int


class Tail(NamedTuple):
    """The optional members after `content`, each with a comma before it, and their part of the day's sums."""

    json: bytes
    tokens: int = 0
    attachments: int = 0


@dataclass(frozen=True)
class Pools:
    """Ready-made JSON, `POOL` entries for users before `POOL` for agents. A content is beginning, middle and end."""

    beginnings: tuple[Text, ...]
    middles: tuple[Text, ...]
    ends: tuple[Text, ...]
    tails: tuple[Tail, ...]
    images_alias: tuple[Tail, ...]
    crawl_sources: tuple[Tail, ...]
    top_crawl_sources: tuple[Tail, ...]
    rag_content: tuple[Tail, ...]


def build_pools(rng: Random, style: Style) -> Pools:
    """Return the pools of a day; they depend on the state of `rng` and the style only."""

    def texts(user: Callable[[Random], str], agent: Callable[[Random], str]) -> tuple[Text, ...]:
        return tuple(_text(write(rng)) for write in (user, agent) for _ in range(POOL))

    def tails(make: Callable[[Random], tuple[dict[str, object], int, int]], count: int) -> tuple[Tail, ...]:
        return tuple(Tail(style.tail(members), *sums) for members, *sums in (make(rng) for _ in range(count)))

    return Pools(
        beginnings=texts(_request, _answer),
        middles=texts(_detail, _explanation),
        ends=texts(_postscript, _closing),
        tails=tails(_user_tail, POOL) + tails(_agent_tail, POOL),
        images_alias=tails(lambda rng: _with_info(rng, {"images": _images(rng)}), 128),
        crawl_sources=tails(lambda rng: _with_info(rng, {"context": {"crawl_sources": _sources(rng, "text")}}), 128),
        top_crawl_sources=tails(lambda rng: _with_info(rng, {"crawl_sources": _sources(rng, "text")}), 128),
        rag_content=tails(lambda rng: _with_info(rng, {"context": {"rag_sources": _sources(rng, "content")}}), 128),
    )


def _text(text: str) -> Text:
    return Text(quote(text)[1:-1], len(text))


def _pick(rng: Random, kind: str) -> str:
    phrases = PHRASES[kind]
    return phrases[int(rng.random() * len(phrases))]


def _pick_up_to(rng: Random, kind: str, maximum: int) -> list[str]:
    return [_pick(rng, kind) for _ in range(int(rng.random() * (maximum + 1)))]


def _sentence(rng: Random) -> str:
    if rng.random() < 0.6:
        first, second, third = (_pick(rng, "nouns") for _ in range(3))
        number, predicate = int(rng.random() * 1000), _pick(rng, "predicates")
        return f"{first}の{second}は{third}（{number}件）について{predicate}。"
    words = [_pick(rng, kind) for kind in ("adjectives", "things", "verbs", "adjectives", "things")]
    return "The {} {} {} the {} {}. ".format(*words)


def _sentences(rng: Random, maximum: int) -> str:
    return "".join(_sentence(rng) for _ in range(int(rng.random() * (maximum + 1))))


def _request(rng: Random) -> str:
    return _pick(rng, "openings") + _pick(rng, "requests")


def _detail(rng: Random) -> str:
    return f"（案件 {int(rng.random() * 9000) + 1000}）" + _sentences(rng, 2) + _pick(rng, "details")


def _postscript(rng: Random) -> str:
    return "\n".join(["", *_pick_up_to(rng, "details", 1), _sentences(rng, 2)]).rstrip("\n")


def _answer(rng: Random) -> str:
    return _pick(rng, "acknowledgements") + "\n\n" + _sentences(rng, 5)


def _explanation(rng: Random) -> str:
    if rng.random() * _LONG_EVERY < 1:
        return "\n\n".join(_sentence(rng) for _ in range(100))
    return "\n".join([*_pick_up_to(rng, "blocks", 1), *_pick_up_to(rng, "explanations", 1), _sentences(rng, 5)])


def _closing(rng: Random) -> str:
    lines = [*_pick_up_to(rng, "explanations", 1), _sentences(rng, 3), _pick(rng, "closings")]
    return "\n".join(lines)


def _user_tail(rng: Random) -> tuple[dict[str, object], int, int]:
    attachments = _attachments(rng) if rng.random() < 0.06 else []
    return ({"attachments": attachments} if attachments else {}), 0, len(attachments)


def _agent_tail(rng: Random) -> tuple[dict[str, object], int, int]:
    members: dict[str, object] = {}
    if rng.random() < 0.2:
        members["context"] = {"rag_sources": _sources(rng, "text")}
    if rng.random() < 0.02:
        members["generated_images"] = _images(rng)
    return _with_info(rng, members) if rng.random() < 0.85 else (members, 0, 0)


def _with_info(rng: Random, members: dict[str, object]) -> tuple[dict[str, object], int, int]:
    tokens = int(40 + 4000 * rng.random() ** 3)
    info = {
        "mode": _pick(rng, "modes"),
        "execution_time_ms": int(300 + 20000 * rng.random() ** 2),
        "tokens_used": tokens,
    }
    return {**members, "agent_info": info}, tokens, 0


def _attachments(rng: Random) -> list[dict[str, object]]:
    names = [_pick(rng, "file_names"), *_pick_up_to(rng, "file_names", 1)]
    return [_attachment(name, f"{int(rng.random() * 2**32):08x}", int(rng.random() * 5_000_000)) for name in names]


def _attachment(name: str, key: str, size: int) -> dict[str, object]:
    kind, url = ("image" if name.endswith("png") else "file"), f"https://files.example.com/uploads/{key}"
    return {"type": kind, "url": url, "thumbnail": f"{url}/thumbnail.webp", "name": name, "size": size}


def _images(rng: Random) -> list[dict[str, object]]:
    url = f"https://files.example.com/generated/{int(rng.random() * 2**32):08x}"
    prompt = _pick(rng, "prompts")
    return [
        {"url": f"{url}.png", "thumbnail": f"{url}.webp", "prompt": prompt, "size": "1024x1024", "style": "natural"}
    ]


def _sources(rng: Random, text: str) -> list[dict[str, object]]:
    return [
        {
            "title": _pick(rng, "titles"),
            "source": f"https://docs.example.com/{int(rng.random() * 2**24):06x}",
            text: _pick(rng, "explanations") + _sentences(rng, 2),
            "score": round(0.5 + rng.random() / 2, 4),
        }
        for _ in range(1 + int(rng.random() * 3))
    ]

"""Pools of ready-made JSON that the messages of a day are put together from, so that a message costs microseconds."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from daily_batch.synthetic import phrases
from daily_batch.synthetic.layouts import Style, quote

POOL = 2048  # a power of two, so that random bits pick from it without a bias
_LONG_EVERY = 256


class Text(NamedTuple):
    """A piece of content as JSON, and its code points."""

    json: bytes
    length: int


class Tail(NamedTuple):
    """What follows `content`: optional members with the comma before them, and what they add to the day's sums."""

    json: bytes
    tokens: int = 0
    attachments: int = 0


@dataclass(frozen=True)
class Pools:
    """First `POOL` entries for people, then `POOL` for agents. A content is a beginning, a middle and an end."""

    beginnings: tuple[Text, ...]
    middles: tuple[Text, ...]
    ends: tuple[Text, ...]
    tails: tuple[Tail, ...]
    images_alias: tuple[Tail, ...]
    crawl_sources: tuple[Tail, ...]
    top_crawl_sources: tuple[Tail, ...]
    rag_content: tuple[Tail, ...]


def build_pools(rng: Random, style: Style) -> Pools:
    """The pools of a day; the same for the same generator state and style."""

    def texts(person: Callable[[Random], str], agent: Callable[[Random], str]) -> tuple[Text, ...]:
        return tuple(_text(write(rng)) for write in (person, agent) for _ in range(POOL))

    def tails(make: Callable[[Random], tuple[dict[str, object], int, int]], count: int) -> tuple[Tail, ...]:
        return tuple(Tail(style.tail(members), *sums) for members, *sums in (make(rng) for _ in range(count)))

    return Pools(
        beginnings=texts(_request, _answer),
        middles=texts(_detail, _explanation),
        ends=texts(_postscript, _closing),
        tails=tails(_person_tail, POOL) + tails(_agent_tail, POOL),
        images_alias=tails(lambda rng: _with_info(rng, {"images": _images(rng)}), 128),
        crawl_sources=tails(lambda rng: _with_info(rng, {"context": {"crawl_sources": _sources(rng, "text")}}), 128),
        top_crawl_sources=tails(lambda rng: _with_info(rng, {"crawl_sources": _sources(rng, "text")}), 128),
        rag_content=tails(lambda rng: _with_info(rng, {"context": {"rag_sources": _sources(rng, "content")}}), 128),
    )


def _text(text: str) -> Text:
    return Text(quote(text)[1:-1], len(text))


def _pick(rng: Random, items: tuple[str, ...]) -> str:
    return items[int(rng.random() * len(items))]


def _some(rng: Random, items: tuple[str, ...], most: int) -> list[str]:
    return [_pick(rng, items) for _ in range(int(rng.random() * (most + 1)))]


def _sentence(rng: Random) -> str:
    if rng.random() < 0.6:
        first, second, third = (_pick(rng, phrases.NOUNS) for _ in range(3))
        number, predicate = int(rng.random() * 1000), _pick(rng, phrases.PREDICATES)
        return f"{first}の{second}は{third}（{number}件）について{predicate}。"
    words = [_pick(rng, words) for words in (phrases.ADJECTIVES, phrases.THINGS, phrases.VERBS)]
    return f"The {' '.join(words)} the {_pick(rng, phrases.ADJECTIVES)} {_pick(rng, phrases.THINGS)}. "


def _sentences(rng: Random, most: int) -> str:
    return "".join(_sentence(rng) for _ in range(int(rng.random() * (most + 1))))


def _request(rng: Random) -> str:
    return _pick(rng, phrases.OPENINGS) + _pick(rng, phrases.REQUESTS)


def _detail(rng: Random) -> str:
    return f"（案件 {int(rng.random() * 9000) + 1000}）" + _sentences(rng, 2) + _pick(rng, phrases.DETAILS)


def _postscript(rng: Random) -> str:
    return "\n".join(["", *_some(rng, phrases.DETAILS, 1), _sentences(rng, 2)]).rstrip("\n")


def _answer(rng: Random) -> str:
    return _pick(rng, phrases.ACKNOWLEDGEMENTS) + "\n\n" + _sentences(rng, 5)


def _explanation(rng: Random) -> str:
    if rng.random() * _LONG_EVERY < 1:
        return "\n\n".join(_sentence(rng) for _ in range(100))
    return "\n".join([*_some(rng, phrases.BLOCKS, 1), *_some(rng, phrases.EXPLANATIONS, 1), _sentences(rng, 5)])


def _closing(rng: Random) -> str:
    lines = [*_some(rng, phrases.EXPLANATIONS, 1), _sentences(rng, 3), _pick(rng, phrases.CLOSINGS)]
    return "\n".join(lines)


def _person_tail(rng: Random) -> tuple[dict[str, object], int, int]:
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
        "mode": _pick(rng, phrases.MODES),
        "execution_time_ms": int(300 + 20000 * rng.random() ** 2),
        "tokens_used": tokens,
    }
    return {**members, "agent_info": info}, tokens, 0


def _attachments(rng: Random) -> list[dict[str, object]]:
    names = [_pick(rng, phrases.FILE_NAMES), *_some(rng, phrases.FILE_NAMES, 1)]
    return [_attachment(name, f"{int(rng.random() * 2**32):08x}", int(rng.random() * 5_000_000)) for name in names]


def _attachment(name: str, key: str, size: int) -> dict[str, object]:
    kind, url = ("image" if name.endswith("png") else "file"), f"https://files.example.com/uploads/{key}"
    return {"type": kind, "url": url, "thumbnail": f"{url}/thumbnail.webp", "name": name, "size": size}


def _images(rng: Random) -> list[dict[str, object]]:
    url = f"https://files.example.com/generated/{int(rng.random() * 2**32):08x}"
    prompt = _pick(rng, phrases.PROMPTS)
    return [
        {"url": f"{url}.png", "thumbnail": f"{url}.webp", "prompt": prompt, "size": "1024x1024", "style": "natural"}
    ]


def _sources(rng: Random, text: str) -> list[dict[str, object]]:
    return [
        {
            "title": _pick(rng, phrases.TITLES),
            "source": f"https://docs.example.com/{int(rng.random() * 2**24):06x}",
            text: _pick(rng, phrases.EXPLANATIONS) + _sentences(rng, 2),
            "score": round(0.5 + rng.random() / 2, 4),
        }
        for _ in range(1 + int(rng.random() * 3))
    ]

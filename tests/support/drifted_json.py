"""Generate records with schema drift: all valid JSON, most of them close to what the fast path may verify."""

from hypothesis import strategies as st

# Field names, inside strings and as keys, that a text search would mistake for something else.
TEXTS = st.sampled_from(
    [
        *('"x"', '""', '"あ 🐟"', '"4.5"', '"-0"', '"null"', '"{"', '"[1.5]"', '"a:1.5,"', '"\x7f"', '"\u2028"'),
        *(
            '",\\"content\\":"',
            '"{\\"content\\":\\"x\\"}"',
            '"\\\\"',
            '",\\\\"',
            '"{\\"crawl_sources\\":["',
            '"content"',
        ),
        *(
            '"\\u0041"',
            '"\\u00e9"',
            '"\\/"',
            '"\\n"',
            '"\\u0000"',
            '"\\ud83d\\udc1f"',
            '"\\""',
            '"acme"',
            '"\\u0061cme"',
        ),
    ]
)
NUMBERS = st.sampled_from(
    [
        *("0", "-0", "1", "-1", "12", "1.0", "1e5", "1E5", "0.10", "0.1", "-0.0", "0.5", "4.35", "1e-7", "1e400"),
        *("123456789012345678901234567890", "9223372036854775807", "9223372036854775808", "-9223372036854775809"),
        *("18446744073709551615", "18446744073709551616", "1e-400", "0.1000000000000000055", "0e0", "1e16"),
        *("0.30000000000000004", "0.30000000000000001", "100000000000000000000.0", "1.7976931348623157e308"),
    ]
)
WORDS = st.sampled_from(["null", "true", "false", "{}", "[]"])
KEYS = st.sampled_from(
    [
        *(
            '"a"',
            '"a"',
            '"b"',
            '"content"',
            '"text"',
            '"é"',
            '""',
            '"\\u0061"',
            '"a.b"',
            '"/a"',
            '"*"',
            '"a\\"b"',
            '"\\n"',
        ),
        *('"パーソナ"', '"crawl_sources"', '"$"', '"a\\":1,\\"b"', '" "', '"\'"'),
    ]
)
SCALARS = st.one_of(TEXTS, NUMBERS, WORDS)


def _seldom(usual: st.SearchStrategy[str], odd: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.integers(0, 11).flatmap(lambda roll: odd if roll == 0 else usual)


def _object(members: st.SearchStrategy[list[tuple[str, str]]]) -> st.SearchStrategy[str]:
    return st.tuples(members, st.sampled_from([(",", ":"), (", ", ": ")])).map(lambda drawn: render(*drawn))


def render(members: list[tuple[str, str]], marks: tuple[str, str] = (",", ":")) -> str:
    comma, colon = marks
    return "{" + comma.join(f"{key}{colon}{value}" for key, value in members) + "}"


def _list(elements: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(elements, max_size=3).map(lambda drawn: f"[{','.join(drawn)}]")


VALUES = st.recursive(
    SCALARS, lambda inner: st.one_of(_list(inner), _object(st.lists(st.tuples(KEYS, inner), max_size=3))), max_leaves=5
)


def _fields(**kinds: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return an object of some of the fields, mostly in order and each once."""
    usual = st.lists(st.sampled_from(list(kinds)), unique=True, max_size=len(kinds)).map(
        lambda names: sorted(names, key=list(kinds).index)
    )
    odd = st.lists(st.sampled_from([*kinds, "x", "content"]), max_size=3)
    names = st.integers(0, 7).flatmap(lambda roll: odd if roll == 0 else usual)

    def member(name: str) -> st.SearchStrategy[tuple[str, str]]:
        return st.tuples(st.just(f'"{name}"'), _seldom(kinds.get(name, SCALARS), VALUES))

    return _object(names.flatmap(lambda drawn: st.tuples(*map(member, drawn)).map(list)))


def _array(**kinds: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return _seldom(_list(_seldom(_fields(**kinds), VALUES)), VALUES)


SOURCES = st.one_of(
    _array(title=TEXTS, source=TEXTS, text=TEXTS, score=NUMBERS),
    _array(title=TEXTS, source=TEXTS, content=TEXTS, score=NUMBERS),
)
IMAGES = _array(url=TEXTS, thumbnail=TEXTS, prompt=TEXTS, size=TEXTS, style=TEXTS)


def _context(name: str) -> st.SearchStrategy[str]:
    return SOURCES.map(lambda sources: render([(f'"{name}"', sources)]))


NAMES = '"message_id"', '"user_id"', '"room_id"', '"timestamp"', '"role"', '"content"'
USUAL = '"m1"', '"u1"', '"r1"', '"2025-08-12T01:02:03.250Z"', '"user"', '"hi"'
DRIFTS: list[tuple[str, st.SearchStrategy[str]]] = [
    ('"images"', IMAGES),
    ('"generated_images"', IMAGES),
    ('"context"', st.one_of(_context("rag_sources"), _context("crawl_sources"))),
    ('"context"', _fields(rag_sources=SOURCES, crawl_sources=SOURCES)),
    ('"crawl_sources"', SOURCES),
    ('"tenant_id"', st.sampled_from(['"acme"', '"globex"', '"\\u0061cme"', "null", "1"])),
    ('"agent_info"', _fields(mode=TEXTS, execution_time_ms=NUMBERS, tokens_used=NUMBERS)),
    ('"attachments"', _array(type=TEXTS, url=TEXTS, thumbnail=TEXTS, name=TEXTS, size=NUMBERS)),
    ('"id"', SCALARS),
    ('"chat_id"', SCALARS),
    ('"client"', VALUES),
    ('"feedback"', SCALARS),
]


@st.composite
def drifted(draw: st.DrawFn) -> str:
    """Return the text of one record."""
    members = [(name, draw(_seldom(st.just(value), SCALARS))) for name, value in zip(NAMES, USUAL, strict=True)]
    if draw(st.integers(0, 5)) == 0:
        members = members[draw(st.integers(1, 6)) :]
    for name, value in draw(st.lists(st.sampled_from(DRIFTS), max_size=4)):
        members.append((name, draw(_seldom(value, WORDS))))
    members += draw(st.lists(st.tuples(KEYS, VALUES), max_size=2))
    if draw(st.integers(0, 5)) == 0:
        members = draw(st.permutations(members))
    text = render(members, draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " :")])))
    return text.replace("_", "\\u005f", 1) if draw(st.integers(0, 15)) == 0 else text

"""Generate records that are almost valid JSON, which a lenient parser would misread."""

from hypothesis import strategies as st

# JSON strings: quotes and brackets inside, escapes of them, and text that looks like another type.
TEXTS = st.sampled_from(
    [
        *('"x"', '""', '"a b"', '"\\u0022"', '"\\"q\\""', '"12"', '"true"', '"null"', '"NaN"', '"{}"', '"[1]"', '"あ"'),
        *('"\\ud83d\\ude00"', '"\\ud800"', '"\\u0000"', '", }"', '",]"', '"\\\\"', '"\\u0001"', '"\\u0031"', '"\\n"'),
        *('"2025-08-12T01:02:03Z"', '"2025-08-12T01:02:03.5"', '"user"', '"User"', '"r1"', '"m1"', '"u1"', '"é"'),
    ]
)
NUMBERS = st.sampled_from(
    [
        *("1", "0", "-1", "-0", "12345", "1.5", "1.50", "1e3", "1E400", "1.0", "0.0", "-0.0", "1e-5"),
        *("123456789012345678901234567890", "9223372036854775807", "9223372036854775808", "999999999999999999"),
        *("1754966165", "1754966165123"),
    ]
)
WRONG = st.sampled_from(["NaN", "Infinity", "-Infinity", "nan", "tru", "01", "+1", "'x'", ".5", "1.", ""])
PLAIN = st.sampled_from(["null", "true", "false", "{}", "[]"])
# The same minute in every form, and texts that only look like a form.
TIMES = st.sampled_from(
    [
        *('"2025-08-12T01:02:03.25Z"', '"2025-08-12 01:02:03"', '"2025-08-12t01:02:03.9999999z"', '"20250812T010203Z"'),
        *('"2025-08-12T10:02:03+09"', '"2025-08-12T10:02:03+09:00"', '"2025-08-11T21:32:03-0330"', '"2025-08-12"'),
        *('"2025-08-12T01:02:60Z"', '"2025-08-12T01:02:60.5"', '"2025-08-12T01:02:61Z"', '"2025-08-12T24:00:00Z"'),
        *(
            '"2025-08-12T10:02:03+09:"',
            '"2025-08-12T10:02:03+9"',
            '"2025-08-12T10:02:03+24:00"',
            '"2025-13-12T01:02:03Z"',
        ),
        *(
            '"0000-08-12T01:02:03Z"',
            '"0001-01-01T00:00:00+09:00"',
            '"9999-12-31T23:59:59-09:00"',
            '"２０２５-08-12T01:02:03Z"',
        ),
        *('" 2025-08-12T01:02:03Z"', '"2025-08-12T01:02:03Z "', '"2025-08-12T01:02:03.Z"', '"2025-08-12T01:02:03,5Z"'),
        *(
            "1754960523",
            '"1754960523"',
            "1754960523123",
            "1754960523.1234567",
            "1754960523123.4567",
            '"1754960523.9999999"',
        ),
        *(
            '"01754960523"',
            "-1",
            "1754960523e0",
            "100000000000",
            "99999999999",
            "175496052312345",
            '"+1754960523"',
            '"1."',
        ),
        *("1.754960523123E12", '"1.754960523123e+12"', "1754960523123456", "1754960523123456789", "1e20", '"1e-400"'),
        *('"2025-08-12T01:02Z"', '"2025-08-12 01:02"', '"2025-08-12 01:02:03.25 +0000"', '"2025-08-12 01:02:03 UTC"'),
        *('"2025-08-12T10:02:03+09:00[Asia/Tokyo]"', '"2025-08-12T10:02:03[Asia/Tokyo]"', '"2025/08/12 01:02:03"'),
        *('"2025-08-12 01:02:03 +0000 UTC"', '"2025-08-12 01:02:03 +0900 UTC"', '"2025-08-12 10:02:03 +0900 JST"'),
        *('"Tue, 12 Aug 2025 01:02:03 GMT"', '"Tue Aug 12 01:02:03 2025"', '"12/08/2025 01:02:03"', '"01:02:03Z"'),
        *('"\\/Date(1754960523123)\\/"', '"\\u0000a boolean"', "true", "[1]", "{}"),
        *(
            '"2025-08-11T14:59:59.9999999Z"',
            '"2025-08-11T15:00:00Z"',
            '"2025-08-12T15:00:00Z"',
            '"2025-02-29T00:00:00Z"',
        ),
    ]
)
SPACE = st.sampled_from(["", "", "", " ", "  ", "\t"])
ENDS = st.sampled_from(["", "", "", "", "", "", ",", ", "])


def _joined(parts: st.SearchStrategy[list[str]], left: str, right: str) -> st.SearchStrategy[str]:
    return st.builds(
        lambda inner, end, gap: left + gap + ("," + gap).join(inner) + end + gap + right, parts, ENDS, SPACE
    )


def _pairs(keys: st.SearchStrategy[str], values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(lambda key, gap, value: f"{key}:{gap}{value}", keys, SPACE, values)


VALUES = st.recursive(
    st.one_of(TEXTS, TEXTS, NUMBERS, PLAIN, WRONG),
    lambda inner: st.one_of(
        _joined(st.lists(inner, max_size=3), "[", "]"), _joined(st.lists(_pairs(TEXTS, inner), max_size=3), "{", "}")
    ),
    max_leaves=6,
)


def _mostly(usual: st.SearchStrategy[str], odd: st.SearchStrategy[str] = VALUES) -> st.SearchStrategy[str]:
    return st.integers(0, 9).flatmap(lambda roll: odd if roll == 0 else usual)


def _members(fields: dict[str, st.SearchStrategy[str]], *, often: int) -> st.SearchStrategy[list[str]]:
    """Return some of the fields in random order; sometimes a duplicate or an unlisted field."""
    chosen = st.lists(st.sampled_from([*fields, *fields, "x", "content", "size"]), unique=often > 1, max_size=often * 4)
    return chosen.flatmap(
        lambda names: st.tuples(
            *(_pairs(st.just(f'"{name}"'), _mostly(fields.get(name, VALUES))) for name in names)
        ).map(list)
    )


def _array(**fields: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    element = _joined(_members(fields, often=2), "{", "}")
    return _joined(st.lists(_mostly(element), max_size=3), "[", "]")


ATTACHMENTS = _array(type=TEXTS, url=TEXTS, thumbnail=TEXTS, name=TEXTS, size=NUMBERS)
IMAGES = _array(url=TEXTS, prompt=TEXTS, size=TEXTS)
SOURCES = _array(title=TEXTS, source=TEXTS, text=TEXTS, score=NUMBERS)
AGENT = _joined(_members({"mode": TEXTS, "execution_time_ms": NUMBERS, "tokens_used": NUMBERS}, often=2), "{", "}")
CONTEXT = _joined(_members({"rag_sources": SOURCES, "crawl_sources": SOURCES}, often=1), "{", "}")

USUAL = {
    "message_id": st.integers(0, 50).map(lambda n: f'"m{n}"'),
    "user_id": st.integers(0, 3).map(lambda n: f'"u{n}"'),
    "room_id": st.integers(0, 3).map(lambda n: f'"r{n}"'),
    "timestamp": st.one_of(st.integers(10, 59).map(lambda n: f'"2025-08-12T01:{n}:03.250Z"'), TIMES),
    "role": st.sampled_from(['"user"', '"assistant"']),
    "content": TEXTS,
}
OPTIONAL = {
    "id": st.one_of(TEXTS, NUMBERS, st.sampled_from(['"m1"', '"m2"'])),
    "chat_id": st.one_of(TEXTS, NUMBERS, st.sampled_from(['"r1"', '"r2"'])),
    "agent_info": AGENT,
    "attachments": ATTACHMENTS,
    "generated_images": IMAGES,
    "images": IMAGES,
    "context": CONTEXT,
    "crawl_sources": SOURCES,
    "tenant_id": TEXTS,
    "x": VALUES,
    "client": VALUES,
    "room\\u005fid": TEXTS,
    "content ": TEXTS,
}


@st.composite
def records(draw: st.DrawFn) -> str:
    """Return the text of one record: as specified, drifted, or broken."""
    members = [draw(_pairs(st.just(f'"{name}"'), _mostly(value))) for name, value in USUAL.items()]
    for name in draw(st.lists(st.sampled_from(sorted(OPTIONAL)), max_size=3)):
        members.append(draw(_pairs(st.just(f'"{name}"'), OPTIONAL[name])))
    if draw(st.integers(0, 9)) == 0:
        members = draw(st.permutations(members))
    if draw(st.integers(0, 14)) == 0:
        members.append(draw(_pairs(st.sampled_from(['"content"', '"message_id"', '"x"']), VALUES)))
    if draw(st.integers(0, 9)) == 0:
        del members[draw(st.integers(0, len(members) - 1))]
    gap = draw(SPACE)
    text = "{" + gap + ("," + gap).join(members) + draw(ENDS) + "}"
    return draw(_damaged(text))


def _damaged(text: str) -> st.SearchStrategy[str]:
    cut = st.integers(0, len(text)).map(lambda end: text[:end])
    marks = st.sampled_from(['"', ",", "}", "{", "[", "\\", "\x01", " ", ":", "\n", "\ufeff"])
    put = st.builds(lambda at, mark: text[:at] + mark + text[at:], st.integers(0, len(text)), marks)
    behind = st.sampled_from([" x", "}", ",", "{}", "[]", " ", "\r"]).map(lambda tail: text + tail)
    return st.integers(0, 19).flatmap(lambda roll: [cut, put, behind][roll] if roll < 3 else st.just(text))

"""Who or what is erased, and which rows are theirs: a user, or a room, of one tenant.

Rows of messages are told by their columns. A reject has none that could tell, so its bytes are searched for the id as a
word of its own, in every writing that JSON and Unicode allow; where the bytes cannot tell, the reject goes.
"""

import hashlib
import re
import sys
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from backports.zstd import ZstdDecompressor, ZstdError

from daily_batch.domain.contract import MAX_ID_LENGTH, MESSAGES, ROOMS_DAILY, USERS_DAILY, Table
from daily_batch.errors import UsageError
from daily_batch.pipeline.transform.duckdb_session import quote_text

Kind = Literal["user", "room"]

# Characters that ids are usually made of: next to one of these, the id is only a part of another word.
WORD = "0-9A-Za-z_-"
ENCODINGS = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
# JSON's, and those by which an error quotes a key.
ESCAPE = re.compile(r"""\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|U([0-9A-Fa-f]{8})|(["'\\/bfnrt]))""")
PLAIN = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
# An export's record that was cut says by these, where it holds one whole, whose it is, whatever was cut away.
OWNERS = {"user": (b'"user_id"',), "room": (b'"room_id"', b'"chat_id"')}
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]:,"]|[^\s{}\[\]:,"]+', re.DOTALL)
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
MOST_TEXT = 64 * 2**20
# Columns of a message in which it can name somebody. Codes, and what a run says of itself, are no names.
_NO_NAMES = ("role", "flags", "source_key", "run_id")
TEXTS = {c.name: c.type for c in MESSAGES.columns if "VARCHAR" in c.type and c.name not in _NO_NAMES}


@dataclass(frozen=True)
class Person:
    """A user or a room; `mentions` also means what only names it."""

    tenant: str
    kind: Kind
    id: str
    mentions: bool = False

    def __post_init__(self) -> None:
        """Refuse what no row could have as an id."""
        if not self.id or len(self.id) > MAX_ID_LENGTH or "\x00" in self.id:
            raise UsageError(
                f"no {self.kind} can have this id", next_step=f"give up to {MAX_ID_LENGTH} characters without U+0000"
            )

    @property
    def digest(self) -> str:
        """What an id is recognised by, and not read from: scrypt, so that trying names costs."""
        salt = f"makoto-daily-batch/{self.tenant}/{self.kind}".encode()
        text = self.id.encode("utf-8", "surrogatepass")
        return hashlib.scrypt(text, salt=salt, n=2**14, r=8, p=1, dklen=32).hex()

    def owns_key(self, key: str) -> bool:
        """Whether an object's key says that what is in it is theirs; an export's key says nothing."""
        parts = key.split("/")
        return parts[1:2] == ["chat"] and parts[self.key_part : self.key_part + 1] == [self.id]

    def condition(self, table: Table) -> str:
        """Which rows of a table are theirs, as a condition of DuckDB; rejects need `owns_reject`."""
        named = f"{self.kind}_id = {quote_text(self.id)}"
        if table in (ROOMS_DAILY, USERS_DAILY):
            return named if f"{self.kind}_id" in table.names else "false"
        if table is not MESSAGES:
            return "false"
        # The kernel keeps an id that lost against the path's among the unlisted fields.
        lost = " OR ".join(
            f"CASE WHEN json_valid(extras) THEN extras->>'$.{name}' = {quote_text(self.id)} END"
            for name in self.lost_names
        )
        place = f"(split_part(source_key, '/', 2) = 'chat' AND split_part(source_key, '/', {self.key_part + 1}) = "
        owned = f"{named} OR {lost} OR {place}{quote_text(self.id)})"
        return f"coalesce({owned}{f' OR {self.mentioned}' if self.mentions else ''}, false)"

    @property
    def lost_names(self) -> tuple[str, ...]:
        """Fields of `extras` that may hold an id that lost."""
        return ("user_id",) if self.kind == "user" else ("room_id", "chat_id")

    @property
    def mentioned(self) -> str:
        """Whether any text of a message names the id, as a condition of DuckDB."""
        texts = (name if kind == "VARCHAR" else f"to_json({name})" for name, kind in TEXTS.items())
        pattern = quote_text(self.pattern)
        return f"coalesce(regexp_matches(concat_ws(chr(10), {', '.join(texts)}), {pattern}), false)"

    def names(self, text: str) -> bool:
        """Whether the id stands in a text as a word of its own, written plainly or with JSON's escapes, even twice."""
        for _ in range(3):
            if self._word.search(text):
                return True
            plain = ESCAPE.sub(_unescape, text)
            if plain == text:
                return False
            text = plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return False

    def owns_reject(self, *, key: str, line: int, detail: str, raw: bytes, truncated: bool) -> str | None:
        """Why a reject goes: `theirs`, or `doubtful` where its bytes cannot tell; None where it stays."""
        if self.owns_key(key):
            return "theirs"
        texts, doubtful = _read(raw)
        if self.names(detail) or any(map(self.names, texts)):
            return "theirs"
        if key.split("/")[1:2] == ["chat"]:  # the path tells whose it is
            return "doubtful" if doubtful else None
        cut = truncated and line > 0 and not _tells_owner(raw, OWNERS[self.kind])
        return "doubtful" if doubtful or cut else None

    @property
    def key_part(self) -> int:
        """Which part of a message's key is the id."""
        return 2 if self.kind == "user" else 3

    @property
    def pattern(self) -> str:
        """The id as a word of its own, for expressions of RE2, Java and Python alike."""
        written = "|".join(re.escape(text) for text in dict.fromkeys((self.id, _escape(self.id))))
        return f"(?:^|[^{WORD}])(?:{written})(?:$|[^{WORD}])"

    @cached_property
    def _word(self) -> re.Pattern[str]:
        return re.compile(self.pattern)


def _escape(text: str) -> str:
    """As DuckDB's to_json writes it."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _unescape(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    if not code:
        return PLAIN.get(match[4], match[4])
    return chr(int(code, 16)) if int(code, 16) <= sys.maxunicode else match[0]


def _tells_owner(raw: bytes, names: Collection[bytes]) -> bool:
    """Whether the beginning of a JSON object has one of these keys itself, and a whole id behind it."""
    depth, before, key = 0, b"", b""
    for match in TOKEN.finditer(raw):
        token = match[0]
        if token == b'"':  # never closed
            return False
        if depth == 1 and before == b":" and key in names and token[:1] == b'"':
            return True
        depth += (token in (b"{", b"[")) - (token in (b"}", b"]"))
        key = token if depth == 1 and before in (b"{", b",") else key
        before = token
    return False


def _read(raw: bytes) -> tuple[list[str], bool]:
    """The bytes as every text that they can be, and whether some of them could not be read at all."""
    plain, doubtful = _decompress(raw)
    texts = [plain.decode("utf-8", "replace")]
    if b"\x00" in plain:
        texts += (plain[start:].decode(each, "replace") for each in ENCODINGS for start in (0, 1))
    return texts, doubtful


def _decompress(raw: bytes) -> tuple[bytes, bool]:
    """What the kept bytes of a compressed object give, and whether a part of them cannot be read."""
    if raw[:2] != GZIP and raw[:4] != ZSTD:
        return raw, False
    found, rest = b"", raw
    while rest:
        unpacker = zlib.decompressobj(wbits=31) if raw[:2] == GZIP else ZstdDecompressor()
        try:
            found += unpacker.decompress(rest, MOST_TEXT - len(found))
        except (zlib.error, ZstdError):
            return found, True
        if not unpacker.eof:  # the rest was never kept, or is too much
            return found, len(found) >= MOST_TEXT
        rest = unpacker.unused_data
    return found, False

"""The subject of an erasure, a user or a room of one tenant, and which rows are the subject's.

Messages are matched by their columns. Rejects have no such columns, so their bytes are searched for the id as a whole
word, in every escaping and encoding that JSON and Unicode allow. A reject whose bytes are inconclusive is removed.
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

from daily_batch.domain.contract import MAX_ID_LENGTH, MESSAGES, ROOMS_DAILY, TURNS, USERS_DAILY, Table
from daily_batch.errors import UsageError
from daily_batch.pipeline.transform.duckdb_session import quote_text

Kind = Literal["user", "room"]
Match = Literal["match", "doubtful"]

# Characters of which ids are usually made: next to one of these, the id is only a part of a longer word.
WORD_CHARACTERS = "0-9A-Za-z_-"
ENCODINGS = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
# Of JSON, and of Python's repr, by which an error quotes a key.
ESCAPE = re.compile(r"""\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|U([0-9A-Fa-f]{8})|(["'\\/bfnrt]))""")
UNESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
# A truncated record of an export still names its owner if it holds one of these keys with a complete value.
OWNER_KEYS = {"user": (b'"user_id"',), "room": (b'"room_id"', b'"chat_id"')}
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]:,"]|[^\s{}\[\]:,"]+', re.DOTALL)
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
MAX_TEXT = 64 * 2**20
# Columns of a message that are no free text: codes, and what the run adds.
_NOT_TEXT = ("role", "flags", "source_key", "run_id")
# Columns of a message that can name a subject.
TEXT_COLUMNS = {c.name: c.type for c in MESSAGES.columns if "VARCHAR" in c.type and c.name not in _NOT_TEXT}


@dataclass(frozen=True)
class Subject:
    """A user or a room; with `mentions`, also the messages that only name it."""

    tenant: str
    kind: Kind
    id: str
    mentions: bool = False

    def __post_init__(self) -> None:
        """Refuse an id that no row can have."""
        if not self.id or len(self.id) > MAX_ID_LENGTH or "\x00" in self.id:
            raise UsageError(
                f"no {self.kind} can have this id", next_step=f"give up to {MAX_ID_LENGTH} characters without U+0000"
            )

    @property
    def digest(self) -> str:
        """The scrypt digest of the id, by which an id is recognised; scrypt makes guessing ids expensive."""
        salt = f"makoto-daily-batch/{self.tenant}/{self.kind}".encode()
        text = self.id.encode("utf-8", "surrogatepass")
        return hashlib.scrypt(text, salt=salt, n=2**14, r=8, p=1, dklen=32).hex()

    def owns_key(self, key: str) -> bool:
        """Return whether an object's key names the subject as its owner; an export's key names no owner."""
        parts = key.split("/")
        return parts[1:2] == ["chat"] and parts[self.key_index : self.key_index + 1] == [self.id]

    def condition(self, table: Table) -> str:
        """Return the DuckDB condition of the subject's rows in a table; rejects need `match_reject`."""
        named = f"{self.kind}_id = {quote_text(self.id)}"
        if table in (TURNS, ROOMS_DAILY, USERS_DAILY):
            return named if f"{self.kind}_id" in table.names else "false"
        if table is not MESSAGES:
            return "false"
        # The pipeline keeps an id that conflicts with the key's in `extras`.
        conflicting = " OR ".join(
            f"CASE WHEN json_valid(extras) THEN extras->>'$.{name}' = {quote_text(self.id)} END"
            for name in self.conflict_fields
        )
        in_key = f"(split_part(source_key, '/', 2) = 'chat' AND split_part(source_key, '/', {self.key_index + 1}) = "
        owned = f"{named} OR {conflicting} OR {in_key}{quote_text(self.id)})"
        return f"coalesce({owned}{f' OR {self.mention_condition}' if self.mentions else ''}, false)"

    @property
    def conflict_fields(self) -> tuple[str, ...]:
        """The fields of `extras` that may hold a conflicting id."""
        return ("user_id",) if self.kind == "user" else ("room_id", "chat_id")

    @property
    def mention_condition(self) -> str:
        """The DuckDB condition of messages that name the id in any text."""
        texts = (name if kind == "VARCHAR" else f"to_json({name})" for name, kind in TEXT_COLUMNS.items())
        pattern = quote_text(self.pattern)
        return f"coalesce(regexp_matches(concat_ws(chr(10), {', '.join(texts)}), {pattern}), false)"

    def is_named_in(self, text: str) -> bool:
        """Return whether a text holds the id as a whole word, plain or with JSON escapes, even escaped twice."""
        for _ in range(3):
            if self._word.search(text):
                return True
            unescaped = ESCAPE.sub(_unescape, text)
            if unescaped == text:
                return False
            text = unescaped.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return False

    def match_reject(self, *, key: str, line: int, detail: str, raw: bytes, truncated: bool) -> Match | None:
        """Return whether a reject is to be removed: a `match`, or `doubtful` if its bytes are inconclusive."""
        if self.owns_key(key):
            return "match"
        texts, doubtful = _decode(raw)
        if self.is_named_in(detail) or any(map(self.is_named_in, texts)):
            return "match"
        if key.split("/")[1:2] == ["chat"]:  # the key names the owner
            return "doubtful" if doubtful else None
        cut = truncated and line > 0 and not _names_owner(raw, OWNER_KEYS[self.kind])
        return "doubtful" if doubtful or cut else None

    @property
    def key_index(self) -> int:
        """The position of the id in the parts of a message's key."""
        return 2 if self.kind == "user" else 3

    @property
    def pattern(self) -> str:
        """The regular expression of the id as a whole word, valid in RE2, Java and Python alike."""
        spellings = "|".join(re.escape(text) for text in dict.fromkeys((self.id, _escape(self.id))))
        return f"(?:^|[^{WORD_CHARACTERS}])(?:{spellings})(?:$|[^{WORD_CHARACTERS}])"

    @cached_property
    def _word(self) -> re.Pattern[str]:
        return re.compile(self.pattern)


def _escape(text: str) -> str:
    """Escape a text as DuckDB's to_json does."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _unescape(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    if not code:
        return UNESCAPED.get(match[4], match[4])
    return chr(int(code, 16)) if int(code, 16) <= sys.maxunicode else match[0]


def _names_owner(raw: bytes, names: Collection[bytes]) -> bool:
    """Return whether a truncated JSON object has one of these keys at its top level with a complete value."""
    depth, before, key = 0, b"", b""
    for match in TOKEN.finditer(raw):
        token = match[0]
        if token == b'"':  # a string without its end
            return False
        if depth == 1 and before == b":" and key in names and token[:1] == b'"':
            return True
        depth += (token in (b"{", b"[")) - (token in (b"}", b"]"))
        key = token if depth == 1 and before in (b"{", b",") else key
        before = token
    return False


def _decode(raw: bytes) -> tuple[list[str], bool]:
    """Return the bytes decoded in each possible encoding, and whether a part of them cannot be read."""
    plain, doubtful = _decompress(raw)
    texts = [plain.decode("utf-8", "replace")]
    if b"\x00" in plain:
        texts += (plain[start:].decode(each, "replace") for each in ENCODINGS for start in (0, 1))
    return texts, doubtful


def _decompress(raw: bytes) -> tuple[bytes, bool]:
    """Return the decompressed bytes of a truncated object, and whether a part of them cannot be read."""
    if raw[:2] != GZIP and raw[:4] != ZSTD:
        return raw, False
    plain, rest = b"", raw
    while rest:
        decompressor = zlib.decompressobj(wbits=31) if raw[:2] == GZIP else ZstdDecompressor()
        try:
            plain += decompressor.decompress(rest, MAX_TEXT - len(plain))
        except (zlib.error, ZstdError):
            return plain, True
        if not decompressor.eof:  # truncated, or larger than MAX_TEXT
            return plain, len(plain) >= MAX_TEXT
        rest = decompressor.unused_data
    return plain, False

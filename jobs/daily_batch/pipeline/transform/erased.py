"""Leave erased users and rooms out of a run: their objects, their rows, and rejects that name them.

Where nothing is erased, none of this runs. Elsewhere ids are compared as digests: DuckDB computes those of a batch's
distinct ids (0.3 µs each), and a set lookup decides.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import duckdb

from daily_batch.domain.codes import Flag
from daily_batch.domain.erased import DIGEST_LENGTH, ErasedIds, Kind, digest_prefix
from daily_batch.domain.run import RunSpec, SourceObject
from daily_batch.pipeline.transform.duckdb_session import quote_text
from daily_batch.pipeline.transform.raw_text import OWNER_KEYS, decode_raw, names_owner, spellings

# In the key of a message's object: `{tenant}/chat/{user}/{room}/…`.
KEY_PARTS: dict[Kind, int] = {"user": 2, "room": 3}
# What can be an id in bytes that are not valid JSON: a word, a JSON string, a value between separators.
CANDIDATES = (
    re.compile(r"[0-9A-Za-z_-]+"),
    re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL),
    re.compile(r"""[^\s,;:"'{}\[\]()<>|=]+"""),
    re.compile(r"""[^,;:"{}\[\]\t\r\n]+"""),
)


def leave_out_objects(objects: Sequence[SourceObject], spec: RunSpec) -> list[SourceObject]:
    """Return the objects that lie in no folder of an erased user or room; the others are not read at all."""
    left = list(objects)
    for kind in KEY_PARTS if spec.layout == "messages" else ():
        if spec.erased.digests(kind):
            names = _names(left, kind, chat=f"{spec.tenant}/chat/")
            erased = spec.erased.find(kind, set(names))
            left = [item for item, name in zip(left, names, strict=True) if name not in erased] if erased else left
    return left


def _names(objects: Iterable[SourceObject], kind: Kind, *, chat: str) -> list[str]:
    """Return the user or the room in each object's key; empty where it has none."""
    if kind == "room":
        return [(item.key.split("/", 4) + [""] * 4)[3] if item.key.startswith(chat) else "" for item in objects]
    start = len(chat)
    # A quarter of the time that splitting the key takes. The end of a link to a user's folder is the key's end.
    ends = ((item.key, item.key.find("/", start)) for item in objects)
    return [key[start : end if end >= 0 else None] if key.startswith(chat) else "" for key, end in ends]


class _Column(NamedTuple):
    """Where a row can name a user or a room: an expression, and the condition of the rows that have it."""

    kind: Kind
    value: str
    condition: str


def _columns(spec: RunSpec) -> list[_Column]:
    """Return where rows of this layout can name an erased id; of message objects, the path's are decided already."""
    lost = "CASE WHEN json_valid(extras) THEN extras->>'$.{}' END"  # an id that lost against the path's
    columns = [
        _Column("user", lost.format("user_id"), f"contains(flags, '{Flag.USER_CONFLICT}')"),
        _Column("room", lost.format("room_id"), f"contains(flags, '{Flag.ROOM_CONFLICT}')"),
        _Column("room", lost.format("chat_id"), f"contains(flags, '{Flag.ROOM_CONFLICT}')"),
    ]
    if spec.layout == "export":
        columns += [_Column("user", "user_id", "true"), _Column("room", "room_id", "true")]
    return [column for column in columns if spec.erased.digests(column.kind)]


def delete_erased_rows(connection: duckdb.DuckDBPyConnection, table: str, condition: str, spec: RunSpec) -> int:
    """Delete the rows of erased users and rooms among those with a condition, and return their number."""
    deleted = 0
    for kind, value, where in _columns(spec) if spec.erased else ():
        prefix = quote_text(digest_prefix(spec.erased.key, kind))
        digest = f"left(sha256({prefix} || {{}}), {DIGEST_LENGTH})"
        rows = f"FROM {table} WHERE {condition} AND coalesce({where}, false)"
        distinct = f"SELECT DISTINCT {value} AS value {rows}"
        listed = spec.erased.digests(kind)
        # As one text: a Python object for each digest would take longer than to compute it.
        query = f"SELECT string_agg({digest.format('value')}, '') FROM ({distinct}) WHERE value IS NOT NULL"
        ((found,),) = connection.execute(query).fetchall()
        each = (found[at : at + DIGEST_LENGTH] for at in range(0, len(found or ""), DIGEST_LENGTH))
        hits = ", ".join(map(quote_text, listed.intersection(each)))
        if hits:
            erased = f"coalesce({digest.format(value)} IN ({hits}), false)"
            ((count,),) = connection.execute(f"DELETE {rows} AND {erased}").fetchall()
            deleted += count
    return deleted


class RejectFilter:
    """Decides whether the bytes of a reject may be kept."""

    def __init__(self, erased: ErasedIds) -> None:
        self._erased = erased
        self._kinds: list[Kind] = [kind for kind in ("user", "room") if erased.digests(kind)]

    def match(
        self, raw: bytes, *, truncated: bool, whole_object: bool, has_owner: bool
    ) -> Literal["erased", "doubtful"] | None:
        """Return `erased` if the bytes name an erased id, `doubtful` if they could hide one.

        Args:
            whole_object: The bytes are those of an object, else of one record.
            has_owner: The object's key names its user, who is not erased.
        """
        if not self._kinds:
            return None
        texts, unreadable = decode_raw(raw)
        if any(self._is_named_in(text) for text in texts):
            return "erased"
        if has_owner:
            return "doubtful" if unreadable else None
        cut = truncated and not whole_object and not all(names_owner(raw, OWNER_KEYS[kind]) for kind in self._kinds)
        return "doubtful" if unreadable or cut else None

    def _is_named_in(self, text: str) -> bool:
        found = {each for spelling in spellings(text) for pattern in CANDIDATES for each in pattern.findall(spelling)}
        # A quote inside a string is escaped: with the whole text unescaped, the string would end there.
        found |= {spelling for each in found if "\\" in each for spelling in spellings(each)}
        found |= {each.strip() for each in found}
        return any(self._erased.find(kind, found) for kind in self._kinds)

"""The subject of an erasure, users or rooms of one tenant, and which rows are theirs.

Messages are matched by their columns. Rejects have no such columns, so their bytes are searched for the id as a whole
word, in every escaping and encoding that JSON and Unicode allow. A reject whose bytes are inconclusive is removed. An
id that consists only of JSON syntax characters, such as a space or a colon, matches every reject that contains them.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from daily_batch.domain.contract import MAX_ID_LENGTH, MESSAGES, ROOMS_DAILY, RUN_COLUMNS, TURNS, USERS_DAILY, Table
from daily_batch.domain.erased import Kind
from daily_batch.errors import UsageError
from daily_batch.pipeline.transform.duckdb_session import quote_text
from daily_batch.pipeline.transform.erased import KEY_PARTS
from daily_batch.pipeline.transform.raw_text import OWNER_KEYS, decode_raw, names_owner, spellings

Match = Literal["match", "doubtful"]

# Characters of which ids are usually made: next to one of these, the id is only a part of a longer word.
WORD_CHARACTERS = "0-9A-Za-z_-"
WORD = re.compile(f"[{WORD_CHARACTERS}]+")
# The table with the column `id` that `Subject.condition` reads.
ID_TABLE = "subject_ids"
# Columns of a message that are no free text: codes, and what the run adds.
_NOT_TEXT = ("role", "flags", "source_key", *RUN_COLUMNS)
# Columns of a message that can name a subject.
TEXT_COLUMNS = {c.name: c.type for c in MESSAGES.columns if "VARCHAR" in c.type and c.name not in _NOT_TEXT}


# Limits of one pass. Texts are searched for each id that is mentioned.
MAX_IDS = 10_000
MAX_MENTIONED_IDS = 100


@dataclass(frozen=True)
class Subject:
    """Users or rooms; with `mentions`, also the messages that only name them."""

    tenant: str
    kind: Kind
    ids: frozenset[str]
    mentions: bool = False

    def __post_init__(self) -> None:
        """Refuse ids that no row can have, and more than one pass can take."""
        if not self.ids or any(not each or len(each) > MAX_ID_LENGTH or "\x00" in each for each in self.ids):
            raise UsageError(
                f"no {self.kind} can have this id", next_step=f"give up to {MAX_ID_LENGTH} characters without U+0000"
            )
        limit = MAX_MENTIONED_IDS if self.mentions else MAX_IDS
        if len(self.ids) > limit:
            with_mentions = " with --mentions" if self.mentions else ""
            raise UsageError(
                f"{len(self.ids):,} ids are too many for one pass{with_mentions}",
                next_step=f"give at most {limit:,} at once",
                tenant=self.tenant,
            )

    def owns_key(self, key: str) -> bool:
        """Return whether an object's key names an owner of the subject; an export's key names no owner."""
        parts = key.split("/")
        return parts[1:2] == ["chat"] and len(parts) > self.key_index and parts[self.key_index] in self.ids

    def condition(self, table: Table) -> str:
        """Return the DuckDB condition of the subject's rows in a table; rejects need `match_reject`.

        The ids are read from the table `subject_ids` (see `ID_TABLE`).
        """
        named = f"{self.kind}_id IN (FROM {ID_TABLE})"
        if table in (TURNS, ROOMS_DAILY, USERS_DAILY):
            return f"coalesce({named}, false)" if f"{self.kind}_id" in table.names else "false"
        if table is not MESSAGES:
            return "false"
        # The pipeline keeps an id that conflicts with the key's in `extras`.
        conflicting = " OR ".join(
            f"coalesce(CASE WHEN json_valid(extras) THEN extras->>'$.{name}' END IN (FROM {ID_TABLE}), false)"
            for name in self.conflict_fields
        )
        in_key = f"split_part(source_key, '/', {self.key_index + 1}) IN (FROM {ID_TABLE})"
        owned = f"{named} OR {conflicting} OR (split_part(source_key, '/', 2) = 'chat' AND {in_key})"
        return f"coalesce({owned}{f' OR {self.mention_condition}' if self.mentions else ''}, false)"

    @property
    def conflict_fields(self) -> tuple[str, ...]:
        """The fields of `extras` that may hold a conflicting id."""
        return ("user_id",) if self.kind == "user" else ("room_id", "chat_id")

    @property
    def mention_condition(self) -> str | None:
        """The DuckDB condition of messages that name an id in any text; None for too many ids."""
        if len(self.ids) > MAX_MENTIONED_IDS:
            return None
        texts = (name if kind == "VARCHAR" else f"to_json({name})" for name, kind in TEXT_COLUMNS.items())
        pattern = quote_text(self.pattern)
        return f"coalesce(regexp_matches(concat_ws(chr(10), {', '.join(texts)}), {pattern}), false)"

    def is_named_in(self, text: str) -> bool:
        """Return whether a text holds an id as a whole word, plain or with JSON escapes, even escaped twice."""
        return any(self._has_word(spelling) for spelling in spellings(text))

    def match_reject(self, *, key: str, line: int, detail: str, raw: bytes, truncated: bool) -> Match | None:
        """Return whether a reject is to be removed: a `match`, or `doubtful` if its bytes are inconclusive."""
        if self.owns_key(key):
            return "match"
        texts, doubtful = decode_raw(raw)
        if self.is_named_in(detail) or any(map(self.is_named_in, texts)):
            return "match"
        if key.split("/")[1:2] == ["chat"]:  # the key names the owner
            return "doubtful" if doubtful else None
        # Without any bytes, a run has withheld them (see `pipeline.transform.outcomes`).
        cut = truncated and line > 0 and raw and not names_owner(raw, OWNER_KEYS[self.kind])
        return "doubtful" if doubtful or cut else None

    @property
    def key_index(self) -> int:
        """The position of the id in the parts of a message's key."""
        return KEY_PARTS[self.kind]

    @property
    def pattern(self) -> str:
        """The regular expression of the ids as whole words, valid in RE2, Java and Python alike."""
        return _pattern(*sorted(self.ids))

    def _has_word(self, text: str) -> bool:
        words = set(WORD.findall(text))
        if not words.isdisjoint(self.ids):  # an id of word characters alone is a whole word, or none
            return True
        near = [pattern for word in words & self._by_word.keys() for pattern in self._by_word[word]]
        return any(pattern.search(text) for pattern in (*near, *self._by_word.get("", ())))

    @cached_property
    def _by_word(self) -> Mapping[str, list[re.Pattern[str]]]:
        """The patterns of the ids with other characters, by a word that a text must have; empty for those without."""
        patterns: dict[str, list[re.Pattern[str]]] = defaultdict(list)
        for each in sorted(self.ids):
            if not WORD.fullmatch(each):
                for spelling in dict.fromkeys((each, _escape(each))):
                    patterns[max(WORD.findall(spelling), key=len, default="")].append(re.compile(_pattern(spelling)))
        return patterns


def _pattern(*ids: str) -> str:
    spelled = "|".join(re.escape(text) for each in ids for text in dict.fromkeys((each, _escape(each))))
    return f"(?:^|[^{WORD_CHARACTERS}])(?:{spelled})(?:$|[^{WORD_CHARACTERS}])"


def _escape(text: str) -> str:
    """Escape a text as DuckDB's to_json does."""
    return text.replace("\\", "\\\\").replace('"', '\\"')

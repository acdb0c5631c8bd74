"""The erased ids of a tenant, as keyed digests. Pure.

A digest is SHA-256 over the tenant's key, the kind and the id, cut to 128 bits. The key has a fixed length and only
equality is ever tested, so HMAC's second pass would protect nothing and take three times as long.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["user", "room"]
KEY_BYTES = 16
# Of a digest in hexadecimal digits.
DIGEST_LENGTH = 32


@dataclass(frozen=True, kw_only=True)
class ErasedIds:
    """What every run must leave out: the digests of erased users and rooms, and the tenant's key in hexadecimal."""

    key: str = field(default="", repr=False)
    users: frozenset[str] = field(default=frozenset(), repr=False)
    rooms: frozenset[str] = field(default=frozenset(), repr=False)

    def __bool__(self) -> bool:
        """Whether any id is erased."""
        return bool(self.users or self.rooms)

    def digests(self, kind: Kind) -> frozenset[str]:
        """Return the digests of one kind."""
        return self.users if kind == "user" else self.rooms

    def holds(self, kind: Kind, id_: str) -> bool:
        """Return whether an id is erased."""
        return bool(self.find(kind, (id_,)))

    def find(self, kind: Kind, ids: Iterable[str]) -> set[str]:
        """Return those of the ids that are erased."""
        digests = self.digests(kind)
        return {each for each in ids if digest_id(self.key, kind, each) in digests} if digests else set()

    def mix(self, fingerprint: str) -> str:
        """Return the fingerprint of a day's objects and this list; without erased ids, that of the objects."""
        if not self:
            return fingerprint
        listed = ",".join((fingerprint, *sorted(self.users), "", *sorted(self.rooms)))
        return hashlib.blake2b(listed.encode(), digest_size=32).hexdigest()


def digest_prefix(key: str, kind: Kind) -> str:
    """Return the text that is hashed before the id."""
    return f"{key}{kind}:"


def digest_id(key: str, kind: Kind, id_: str) -> str:
    """Return the digest of an id."""
    text = digest_prefix(key, kind) + id_
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_LENGTH]

"""What a set of objects was, in 64 hexadecimal digits, whatever the order they were listed in."""

from collections.abc import Iterable
from hashlib import blake2b

from daily_batch.domain.run import SourceObject

_MODULUS = 2**256


def add_objects(total: int, objects: Iterable[SourceObject]) -> int:
    """Add the digests of key, size and etag of each object to a running total, which begins at 0.

    A sum, because it needs neither an order nor memory. It tells apart sets that differ by accident (an object that
    came late, changed or went); it is no defence against someone who may choose millions of keys to make sums meet.
    The last-modified time is left out: a copy of the same bytes is the same object.
    """
    number, digest = int.from_bytes, blake2b
    # NUL parts the fields: a size is digits, an etag cannot hold NUL, and the key comes last.
    sums = [
        number(digest(f"{size}\0{etag}\0{key}".encode(), digest_size=32).digest(), "big")
        for key, size, etag, *_ in objects
    ]
    return (total + sum(sums)) % _MODULUS


def fingerprint(total: int, objects: int) -> str:
    """The text form of a total over this many objects."""
    return blake2b(f"{objects}:{total}".encode(), digest_size=32).hexdigest()

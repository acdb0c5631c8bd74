"""Numbers that Spark's shuffle spreads evenly: one for each partition, so that every task reduces one bucket.

Spark partitions by a hash of the column, which would give some tasks several buckets and others none. An empty task
costs a quarter of a second, and one with three buckets makes the others wait.
"""

from itertools import count

SEED = 42
MASK = 0xFFFFFFFF


def partition_keys(partitions: int) -> list[int]:
    """The smallest number from 0 that `repartition(partitions, column)` sends to each partition, by partition."""
    found: dict[int, int] = {}
    numbers = count()
    while len(found) < partitions:
        number = next(numbers)
        found.setdefault(hash_integer(number) % partitions, number)
    return [found[partition] for partition in range(partitions)]


def hash_integer(number: int) -> int:
    """Spark SQL's `hash()` of an int: Murmur3 for x86, 32 bits, of four bytes with seed 42, as a signed number."""
    mixed = (number & MASK) * 0xCC9E2D51 & MASK
    mixed = _rotate(mixed, 15) * 0x1B873593 & MASK
    state = (_rotate(SEED ^ mixed, 13) * 5 + 0xE6546B64 & MASK) ^ 4
    state = (state ^ state >> 16) * 0x85EBCA6B & MASK
    state = (state ^ state >> 13) * 0xC2B2AE35 & MASK
    state ^= state >> 16
    return state - 2**32 if state >= 2**31 else state


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> 32 - bits) & MASK

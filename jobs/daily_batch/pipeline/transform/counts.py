"""What became of objects and records, as sums that add up over tasks."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass
class Counts:
    """Numbers of objects and records by outcome; `rejects` by reason of records, `flags` of published rows."""

    objects_read: int = 0
    objects_unreadable: int = 0
    bytes: int = 0
    seen: int = 0
    written: int = 0
    duplicates: int = 0
    superseded: int = 0
    rejected: int = 0
    other_day: int = 0
    empty: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        # asdict() would make a Counter of pairs.
        return {**vars(self), "rejects": dict(self.rejects), "flags": dict(self.flags)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Counts":
        """What `to_dict` gave."""
        return cls(**{**values, "rejects": Counter(values["rejects"]), "flags": Counter(values["flags"])})


def add_counts(parts: Iterable[Counts]) -> Counts:
    """The sum of counts of disjoint parts."""
    total = Counts()
    for part in parts:
        for item in fields(Counts):
            setattr(total, item.name, getattr(total, item.name) + getattr(part, item.name))
    return total

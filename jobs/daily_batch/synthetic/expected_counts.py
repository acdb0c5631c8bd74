"""The expected counts of a generated day, taken while it is generated and never by reading it back."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

OUTCOMES = ("written", "duplicates", "superseded", "rejected", "other_day", "empty", "erased")


class ExpectedCounts(NamedTuple):
    """What a correct run of the day must report; `rejects` splits `records["rejected"]` by reason."""

    records: dict[str, int]
    objects: dict[str, int]
    rejects: dict[str, int]
    flags: dict[str, int]
    rooms: int
    users: int
    by_role: dict[str, int]
    by_hour: list[int]
    total_length: int
    tokens_used: int
    attachments: int


@dataclass
class Tally:
    """A running count of a day or a part of it; parts add up."""

    outcomes: Counter[str] = field(default_factory=Counter)
    objects: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    roles: Counter[str] = field(default_factory=Counter)
    hours: Counter[int] = field(default_factory=Counter)
    sums: Counter[str] = field(default_factory=Counter)
    rooms: set[int] = field(default_factory=set)
    users: set[int] = field(default_factory=set)

    def add(self, other: "Tally") -> None:
        """Add the counts of another part."""
        for name in ("outcomes", "objects", "rejects", "flags", "roles", "hours", "sums"):
            getattr(self, name).update(getattr(other, name))
        self.rooms |= other.rooms
        self.users |= other.users

    def expected_counts(self) -> ExpectedCounts:
        """Return the counts so far."""
        records = {outcome: self.outcomes[outcome] for outcome in OUTCOMES}
        return ExpectedCounts(
            records={"seen": sum(records.values()), **records},
            objects={"listed": self.objects["listed"], "unreadable": self.objects["unreadable"]},
            rejects=_sorted(self.rejects),
            flags=_sorted(self.flags),
            rooms=len(self.rooms),
            users=len(self.users),
            by_role=_sorted(self.roles),
            by_hour=[self.hours[hour] for hour in range(24)],
            total_length=self.sums["length"],
            tokens_used=self.sums["tokens"],
            attachments=self.sums["attachments"],
        )


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return {str(name): count for name, count in sorted(counts.items()) if count}

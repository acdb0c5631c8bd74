"""Whether a day's volume is what its tenant's last weeks let one expect. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median

from daily_batch.settings import Settings

# Every weekday four times.
REMEMBERED = timedelta(weeks=4)
# Of fewer there is no middle one that a single odd day cannot move.
FEWEST_DAYS, FEWEST_WEEKDAYS = 3, 3


@dataclass(frozen=True, kw_only=True)
class Volume:
    """Messages of a day, and how many there should have been about; `sentence` says both, and what was compared."""

    actual: int
    expected: int
    is_unusual: bool
    sentence: str


def find_anomaly(
    messages: int,
    history: Sequence[tuple[date, int]],
    day: date,
    *,
    factor: float = Settings.unusual_factor,
    floor: int = Settings.unusual_floor,
) -> Volume | None:
    """Compare a day with the middle one of the tenant's same weekdays, or of all its days where it has too few of them.

    Args:
        messages: of the day.
        history: days and their messages, in any order; only those of the four weeks before the day count.
        factor: so many times more, or so many times less, is unusual.
        floor: and at least so many messages more or less, so that small tenants do not sound. A day without any is
            unusual whatever the floor, where every day had some.

    Returns:
        None where there is too little history to judge by.
    """
    known = {then: number for then, number in history if day - REMEMBERED <= then < day}
    if len(known) < FEWEST_DAYS:
        return None
    same = [number for then, number in known.items() if then.weekday() == day.weekday()]
    compared, kind = (same, f"{day:%A}s") if len(same) >= FEWEST_WEEKDAYS else (list(known.values()), "days")
    expected = median(compared)
    # The first weekends of a tenant are like each other, though unlike its other days.
    likely = [expected, *same] if kind == "days" else [expected]
    is_far = all(_is_far(messages, each, factor=factor, floor=floor) for each in likely)
    return Volume(
        actual=messages,
        expected=round(expected),
        is_unusual=is_far or (messages == 0 and min(known.values()) > 0),
        sentence=f"{messages:,} messages, where the last {len(compared)} {kind} had about {round(expected):,}",
    )


def _is_far(messages: int, expected: float, *, factor: float, floor: int) -> bool:
    return abs(messages - expected) >= floor and (messages > factor * expected or messages * factor < expected)

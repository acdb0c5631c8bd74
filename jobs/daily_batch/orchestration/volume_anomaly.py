"""Compare a day's message count with the tenant's previous four weeks. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median

from daily_batch.settings import Settings

# Each weekday four times.
REMEMBERED = timedelta(weeks=4)
# With fewer days, a single outlier could move the median.
MIN_DAYS, MIN_WEEKDAYS = 3, 3


@dataclass(frozen=True, kw_only=True)
class Volume:
    """Actual and expected message count of a day; `sentence` states both, and what they were compared with."""

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
    """Compare a day with the median of the tenant's same weekdays, or of all its days if it has too few of those.

    Args:
        messages: Messages of the day.
        history: Days with their messages, in any order; only the four weeks before the day count.
        factor: A count is unusual from this many times more, or this many times fewer, messages.
        floor: And from a difference of at least this many messages, so that small tenants raise no alarm. A day
            without messages is unusual regardless of the floor if every earlier day had some.

    Returns:
        None if there is too little history.
    """
    known = {then: number for then, number in history if day - REMEMBERED <= then < day}
    if len(known) < MIN_DAYS:
        return None
    same = [number for then, number in known.items() if then.weekday() == day.weekday()]
    compared, kind = (same, f"{day:%A}s") if len(same) >= MIN_WEEKDAYS else (list(known.values()), "days")
    expected = median(compared)
    # A new tenant's weekends resemble each other, though not its other days.
    candidates = [expected, *same] if kind == "days" else [expected]
    is_far = all(_is_far(messages, each, factor=factor, floor=floor) for each in candidates)
    return Volume(
        actual=messages,
        expected=round(expected),
        is_unusual=is_far or (messages == 0 and min(known.values()) > 0),
        sentence=f"{messages:,} messages, where the last {len(compared)} {kind} had about {round(expected):,}",
    )


def _is_far(messages: int, expected: float, *, factor: float, floor: int) -> bool:
    return abs(messages - expected) >= floor and (messages > factor * expected or messages * factor < expected)

"""Messages that are delivered twice: unchanged (a duplicate), or with another body that supersedes the first.

The second delivery is in the next block, so that in an export the two are often in different files.
"""

from collections.abc import Sequence
from random import Random

from daily_batch.synthetic.day import Columns, Day, count_messages, make_columns
from daily_batch.synthetic.expected_counts import Tally
from daily_batch.synthetic.object_keys import Arrival, make_arrivals, random_slots
from daily_batch.synthetic.schema_drift import apply_drift

_LATEST_EDIT_MS = 600_000


def deliver_twice(day: Day, block: int, tally: Tally) -> list[Arrival]:
    """Return the first deliveries of this block and the second deliveries of the block before.

    The last block also returns its own second deliveries.
    """
    arrivals = _first_deliveries(day, block, tally)
    last = block == day.spec.blocks - 1
    for earlier in range(max(block - 1, 0), block + last):
        arrivals += _copies(day, earlier, block, tally) + _edits(day, earlier, block, tally)
    return arrivals


def _first_deliveries(day: Day, block: int, tally: Tally) -> list[Arrival]:
    copied, edited = _to_copy(day, block), _to_edit(day, block)
    tally.add(count_messages(copied))
    tally.outcomes["superseded"] += len(edited)
    return make_arrivals(day, copied) + make_arrivals(day, edited)


def _to_copy(day: Day, block: int) -> Columns:
    return _originals(day, block, "duplicates", day.spec.rates.duplicates, day.edges[block + 1])


def _to_edit(day: Day, block: int) -> Columns:
    end = min(day.edges[block + 1], day.clock.length_ms - _LATEST_EDIT_MS - 1)
    return _originals(day, block, "superseded", day.spec.rates.superseded, end)


def _originals(day: Day, block: int, purpose: str, rate: float, end: int) -> Columns:
    rng = day.spec.random(purpose, block)
    slots = random_slots(rng, day, day.spec.share(rate, block), min(day.edges[block], end - 1), end)
    columns = make_columns(slots, rng, day)
    apply_drift(columns, rng, day.spec.rates.for_duplicates())
    return columns


def _copies(day: Day, earlier: int, block: int, tally: Tally) -> list[Arrival]:
    """Return the same records again, half of them with other white space, which leaves the body the same."""
    columns = _to_copy(day, earlier)
    tally.outcomes["duplicates"] += len(columns)
    rng = day.spec.random("copies", earlier)
    times = columns.slots.times
    key_times = [time + 1 + int(rng.random() * 50) for time in times]
    arrivals = make_arrivals(day, columns, key_times=key_times, times=_later(rng, day, block, times))
    return [(time, key, record.replace(b"{", b"{ ", at % 2)) for at, (time, key, record) in enumerate(arrivals)]


def _edits(day: Day, earlier: int, block: int, tally: Tally) -> list[Arrival]:
    """Return other bodies under the same ids, with later timestamps: they win."""
    originals = _to_edit(day, earlier)
    rng = day.spec.random("edits", earlier)
    times = [time + 1_000 + int(rng.random() * (_LATEST_EDIT_MS - 1_000)) for time in originals.slots.times]
    columns = make_columns(originals.slots._replace(times=times), rng, day)
    columns.names[:] = originals.names
    columns.ids[:] = [day.style.member("message_id", b'"%b"' % name) for name in originals.names]
    tally.add(count_messages(columns))
    return make_arrivals(day, columns, times=_later(rng, day, block, times))


def _later(rng: Random, day: Day, block: int, times: Sequence[int]) -> list[int]:
    begin, end = day.edges[block], day.edges[block + 1]
    return [max(begin, time) + int(rng.random() * max(end - max(begin, time), 1)) for time in times]

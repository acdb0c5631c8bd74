"""One block of a day: the rooms' talk, and among it what comes twice, empty, late or from another day."""

from collections.abc import Sequence

from daily_batch.synthetic.columns import count, make_columns
from daily_batch.synthetic.day import Day
from daily_batch.synthetic.duplicates import come_twice
from daily_batch.synthetic.expected_counts import Tally
from daily_batch.synthetic.faults import apply_faults
from daily_batch.synthetic.noise import come_across_midnight, come_empty, stand_by
from daily_batch.synthetic.object_keys import Arrival, arrive
from daily_batch.synthetic.rooms import rooms_between, turns_between


def make_block(day: Day, block: int, among: Sequence[int]) -> tuple[list[Arrival], Tally]:
    """The block's records in order of arrival, and the truth about them; `among` holds at least its rooms."""
    begin, end = day.edges[block], day.edges[block + 1]
    rng = day.spec.random("talk", block)
    present = rooms_between(day.recipe.rooms, among, begin, end)
    talk = make_columns(turns_between(day.recipe.rooms, present, begin, end), rng, day.recipe)
    apply_faults(talk, rng, day.spec.rates)
    tally = count(talk)
    arrivals = arrive(day, talk)
    if day.recipe.rooms.sizes:
        arrivals += come_twice(day, block, tally) + come_empty(day, block, tally)
        if day.spec.layout == "messages":
            arrivals += come_across_midnight(day, block, tally)
    if day.spec.layout == "messages":
        tally.objects["listed"] += len(arrivals)
        arrivals += stand_by(day, block)
    arrivals.sort(key=_time)  # runs that are sorted already: cheap
    return arrivals, tally


def _time(arrival: Arrival) -> int:
    return arrival[0]

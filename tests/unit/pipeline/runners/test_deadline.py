"""The deadline of a local run: kept to the second, and foreseen."""

import pytest

from daily_batch.errors import HandOverError
from daily_batch.pipeline.runners.deadline import Deadline


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def work(watch: Deadline, clock: Clock, pieces: int, *, seconds: float) -> None:
    for _ in range(pieces):
        clock.now += seconds
        watch.step()


def test_without_a_deadline_nothing_is_late(clock: Clock) -> None:
    watch = Deadline(None, clock=clock)
    watch.begin("chunks", 9, later=0.5)
    work(watch, clock, 9, seconds=1e6)
    watch.check()


def test_a_run_goes_on_until_its_deadline_and_no_longer(clock: Clock) -> None:
    watch = Deadline(110.0, clock=clock)
    clock.now = 109.9
    watch.check()
    clock.now = 110.0
    with pytest.raises(HandOverError, match="the time is over"):
        watch.check()


def test_a_hand_over_says_how_far_the_run_came(clock: Clock) -> None:
    watch = Deadline(1_000.0, clock=clock)
    watch.begin("chunks", 40)
    work(watch, clock, 12, seconds=10.0)
    clock.now = 1_000.0
    with pytest.raises(HandOverError, match=r"12 of 40 chunks in 900 s.*Next step: run the day on Spark"):
        watch.check()


def test_a_rest_that_cannot_end_in_time_is_foreseen(clock: Clock) -> None:
    watch = Deadline(200.0, clock=clock)
    watch.begin("chunks", 40)
    with pytest.raises(HandOverError, match="4 of 40 chunks in 20 s"):
        work(watch, clock, 40, seconds=5.0)


def test_what_comes_after_a_stage_is_foreseen_too(clock: Clock) -> None:
    for later in (0.0, 0.5):
        clock.now = 100.0
        watch = Deadline(150.0, clock=clock)
        watch.begin("chunks", 40, later=later)
        if later:
            with pytest.raises(HandOverError):
                work(watch, clock, 40, seconds=1.0)
        else:
            work(watch, clock, 40, seconds=1.0)


def test_the_first_pieces_tell_nothing(clock: Clock) -> None:
    watch = Deadline(200.0, clock=clock)
    watch.begin("chunks", 40)
    work(watch, clock, 1, seconds=20.0)  # connections are made, libraries are loaded
    work(watch, clock, 39, seconds=1.0)


def test_pieces_in_other_hands_are_not_forgotten(clock: Clock) -> None:
    # Four at once, each of 10 s: the first three come back together.
    watch = Deadline(200.0, clock=clock)
    watch.begin("chunks", 36)
    clock.now += 10.0
    for _ in range(4):
        watch.step()


def test_a_run_that_is_stopped_ends_at_its_next_check(clock: Clock) -> None:
    watch = Deadline(None, clock=clock)
    watch.stop()
    with pytest.raises(HandOverError):
        watch.check()

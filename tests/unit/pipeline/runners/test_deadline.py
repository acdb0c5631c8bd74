"""The deadline of a local run: a run that would miss it is handed over early."""

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


def finish_tasks(deadline: Deadline, clock: Clock, tasks: int, *, seconds: float) -> None:
    for _ in range(tasks):
        clock.now += seconds
        deadline.finish_task()


def test_without_a_deadline_no_run_is_late(clock: Clock) -> None:
    deadline = Deadline(None, clock=clock)
    deadline.start_stage("chunks", 9, next_share=0.5)
    finish_tasks(deadline, clock, 9, seconds=1e6)
    deadline.check()


def test_run_continues_until_its_deadline_and_no_longer(clock: Clock) -> None:
    deadline = Deadline(110.0, clock=clock)
    clock.now = 109.9
    deadline.check()
    clock.now = 110.0
    with pytest.raises(HandOverError, match="the time is over"):
        deadline.check()


def test_hand_over_reports_the_progress_of_the_run(clock: Clock) -> None:
    deadline = Deadline(1_000.0, clock=clock)
    deadline.start_stage("chunks", 40)
    finish_tasks(deadline, clock, 12, seconds=10.0)
    clock.now = 1_000.0
    with pytest.raises(HandOverError, match=r"12 of 40 chunks in 900 s.*Next step: run the day on Spark"):
        deadline.check()


def test_run_that_cannot_end_in_time_is_handed_over_early(clock: Clock) -> None:
    deadline = Deadline(200.0, clock=clock)
    deadline.start_stage("chunks", 40)
    with pytest.raises(HandOverError, match="4 of 40 chunks in 20 s"):
        finish_tasks(deadline, clock, 40, seconds=5.0)


def test_prediction_includes_later_stages(clock: Clock) -> None:
    for next_share in (0.0, 0.5):
        clock.now = 100.0
        deadline = Deadline(150.0, clock=clock)
        deadline.start_stage("chunks", 40, next_share=next_share)
        if next_share:
            with pytest.raises(HandOverError):
                finish_tasks(deadline, clock, 40, seconds=1.0)
        else:
            finish_tasks(deadline, clock, 40, seconds=1.0)


def test_first_task_does_not_count_for_the_prediction(clock: Clock) -> None:
    deadline = Deadline(200.0, clock=clock)
    deadline.start_stage("chunks", 40)
    finish_tasks(deadline, clock, 1, seconds=20.0)  # opens connections, loads libraries
    finish_tasks(deadline, clock, 39, seconds=1.0)


def test_concurrent_tasks_that_end_together_are_no_slow_start(clock: Clock) -> None:
    # Four concurrent tasks of 10 s each end at the same time.
    deadline = Deadline(200.0, clock=clock)
    deadline.start_stage("chunks", 36)
    clock.now += 10.0
    for _ in range(4):
        deadline.finish_task()


def test_run_that_is_stopped_ends_at_its_next_check(clock: Clock) -> None:
    deadline = Deadline(None, clock=clock)
    deadline.stop()
    with pytest.raises(HandOverError):
        deadline.check()

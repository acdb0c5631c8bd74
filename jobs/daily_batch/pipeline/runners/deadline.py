"""Track the progress of a local run against its deadline, and hand the day over if it will not be met."""

import time
from collections.abc import Callable
from threading import Event

from daily_batch.errors import HandOverError

# A lower bound for the reduce's share of the map's time (measured: 0.4), so that only hopeless days are handed over.
REDUCE_SHARE = 0.25
# A prediction needs this many finished tasks, and this share of all tasks.
MIN_TASKS = 4
MIN_SHARE = 0.1


class Deadline:
    """The deadline and the progress of one run.

    `check` is a cancellation check, which may be called from any thread.
    """

    def __init__(self, deadline: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._deadline = deadline
        self._clock = clock
        self._started = self._first_done = clock()
        self._stopped = Event()
        self._unit, self._done, self._total = "chunks", 0, 0
        self._next_share = 0.0

    def start_stage(self, unit: str, total: int, *, next_share: float = 0.0) -> None:
        """Start a stage of `total` tasks. The stages after it take `next_share` of its time."""
        self._unit, self._done, self._total, self._next_share = unit, 0, total, next_share

    def finish_task(self) -> int:
        """Record that a task is done, and return the number of finished tasks.

        Raises:
            HandOverError: The run will not end in time.
        """
        self._done += 1
        if self._done == 1:
            self._first_done = self._clock()
        self.check()
        if self._deadline is not None and self._can_predict():
            left = self._deadline - self._clock()
            if self._predict() > left:
                raise self.hand_over_error(f"the rest needs some {self._predict():.0f} s and {left:.0f} s are left")
        return self._done

    def check(self) -> None:
        """Raise if the deadline has passed or the run is stopped.

        Raises:
            HandOverError: The deadline has passed, or the run is stopped.
        """
        late = self._deadline is not None and self._clock() >= self._deadline
        if late or self._stopped.is_set():
            raise self.hand_over_error("the time is over")

    def stop(self) -> None:
        """Make every task end at its next check."""
        self._stopped.set()

    def hand_over_error(self, reason: str) -> HandOverError:
        """Return the error with the reason and the progress of the run."""
        seconds = self._clock() - self._started
        return HandOverError(
            f"{reason}: {self._done} of {self._total} {self._unit} in {seconds:.0f} s",
            next_step="run the day on Spark",
        )

    def _can_predict(self) -> bool:
        return self._done >= max(MIN_TASKS, MIN_SHARE * self._total)

    def _predict(self) -> float:
        """Return the seconds that the rest of this stage and the later stages will take."""
        # Measured from the end of the first task, which opens connections and loads libraries.
        task_seconds = (self._clock() - self._first_done) / (self._done - 1)
        return task_seconds * (self._total - self._done + self._next_share * self._total)

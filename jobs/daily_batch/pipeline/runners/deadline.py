"""Whether a local run may go on: its deadline, how far it is, and what it predicts of the rest."""

import time
from collections.abc import Callable
from threading import Event

from daily_batch.errors import HandOverError

# The reduce takes at least this part of the map's time (measured: 0.4), so that only a day that cannot end is given up.
REDUCE_SHARE = 0.25
# So many pieces, and this part of all, tell how fast the others will be.
FEWEST_PIECES = 4
SMALLEST_PART = 0.1


class Deadline:
    """The progress of one run. `check` may be called from any thread; it ends what runs once the run is stopped."""

    def __init__(self, deadline: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._deadline = deadline
        self._clock = clock
        self._begun = self._first_done = clock()
        self._stopped = Event()
        self._unit, self._done, self._total = "chunks", 0, 0
        self._later = 0.0

    def begin(self, unit: str, total: int, *, later: float = 0.0) -> None:
        """Enter a stage of `total` pieces of work; what comes `later` takes that part of the stage's time."""
        self._unit, self._done, self._total, self._later = unit, 0, total, later

    def step(self) -> int:
        """Note that a piece is done; return how many are.

        Raises:
            HandOver: the rest will not be done in time.
        """
        self._done += 1
        if self._done == 1:
            self._first_done = self._clock()
        self.check()
        if self._deadline is not None and self._can_predict():
            left = self._deadline - self._clock()
            if self._predict() > left:
                raise self.hand_over(f"the rest needs some {self._predict():.0f} s and {left:.0f} s are left")
        return self._done

    def check(self) -> None:
        """Let go on what is in time.

        Raises:
            HandOver: the deadline is over, or the run is stopped.
        """
        late = self._deadline is not None and self._clock() >= self._deadline
        if late or self._stopped.is_set():
            raise self.hand_over("the time is over")

    def stop(self) -> None:
        """Have every task end at its next check."""
        self._stopped.set()

    def hand_over(self, why: str) -> HandOverError:
        """The error that says why, and how far the run came."""
        seconds = self._clock() - self._begun
        return HandOverError(
            f"{why}: {self._done} of {self._total} {self._unit} in {seconds:.0f} s",
            next_step="run the day on Spark",
        )

    def _can_predict(self) -> bool:
        return self._done >= max(FEWEST_PIECES, SMALLEST_PART * self._total)

    def _predict(self) -> float:
        """Seconds that the rest of this stage and what comes later will take."""
        # Not from the start on: with the first piece connections are made and libraries loaded.
        each = (self._clock() - self._first_done) / (self._done - 1)
        return each * (self._total - self._done + self._later * self._total)

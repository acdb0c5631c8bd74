"""What the functions of a night tell, whichever cloud calls them: lines of the log, and metrics.

A line names tenant, day and run, and never holds message content. Metrics have no tenant: each would cost extra.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from daily_batch.errors import BatchError, RetryableError, advise
from daily_batch.telemetry_metrics import Metric


class Telemetry(Protocol):
    """A cloud's log and its metrics, for one call of a function."""

    def about(self, **facts: Any) -> None:
        """Name facts on every further line of the call."""

    def debug(self, message: str, **facts: Any) -> None:
        """A line that is usually dropped."""

    def info(self, message: str, **facts: Any) -> None:
        """A line that says what was done."""

    def error(self, message: str, **facts: Any) -> None:
        """A line that a person should look at."""

    def measure(self, metric: Metric, value: float = 1) -> None:
        """A value of a metric, in its unit; counts add up."""


def log_step(teller: Telemetry, step: str, /, **facts: Any) -> None:
    """A line for a step of a run (`daily_batch.telemetry`), usable as `Told` once it has its teller."""
    teller.info("step", step=step, **facts)


@contextmanager
def sanitized_errors(teller: Telemetry) -> Iterator[None]:
    """Tell of an error, and let it go on alone: what caused it may quote what was read, and hosts write that down.

    Raises:
        BatchError: the error; Retryable for one that nobody expected.
    """
    try:
        yield
    except Exception as error:
        teller.error(advise(error))
        raise sanitize(error) from None


def sanitize(error: Exception) -> BatchError:
    """An error to raise `from None`: itself if it is ours, for its text is; else one that only says where it was."""
    return error if isinstance(error, BatchError) else RetryableError(advise(error), next_step="look at the log")

"""What a run tells of its steps, a line each: the same in a function's log and in a Spark job's.

A line names tenant, day, run and token, says counts and seconds, and never holds message content.
"""

import json
import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol, TextIO

from daily_batch.domain.metrics import Metric
from daily_batch.errors import BatchError, RetryableError, advise

# Each step, and what its line says beside tenant, day, run_id, token and seconds.
STEPS = {
    "lease": "the day is this run's: `owner`, `taken_over`",
    "manifest": "what there is: `layout`, `objects`, `ignored`, `bytes` (as stored), `chunks`",
    "intake": "objects read and parsed: `runner`, `objects_read`, `objects_unreadable`, `bytes`, `seen`, `rejected`, "
    "`other_day`, `empty`",
    "clean": "duplicates removed, rows sorted, added up and written: `runner`, `written`, `duplicates`, `superseded`",
    "publish": "readers see it: `rows` by table, `files`, `bytes`",
    "receipt": "the receipt is written: `status`, `receipt` (its key), `warnings` (rules of quality)",
    "ledger": "the ledger says so: `status`",
    "submit": "a job is asked for instead: `service`, `job_id`, `reason`, `executors`, `disk_gb`",
    "settle": "the job has ended: `service`, `job_id`, `status`",
}


class StepLogger(Protocol):
    """Hears of each step that has ended well."""

    def __call__(self, step: str, /, **facts: Any) -> None:
        """A step of `STEPS`, and what there is to say of it."""


def log_nothing(step: str, /, **facts: Any) -> None:
    """For runs that a person watches: nobody hears."""


def since(begun: float) -> float:
    """Seconds since a moment of `time.perf_counter`, as the lines say them."""
    return round(time.perf_counter() - begun, 3)


@contextmanager
def timed(told: StepLogger, step: str, **facts: Any) -> Iterator[dict[str, Any]]:
    """Tell of a step when it has ended well, with its seconds; what is known only then is added to the facts."""
    begun = time.perf_counter()
    yield facts
    told(step, seconds=since(begun), **facts)


def log_to(stream: TextIO) -> StepLogger:
    """Lines of JSON on a stream, for a process that has no log of its cloud's."""

    def told(step: str, /, **facts: Any) -> None:
        line = {"message": "step", "level": "INFO", "timestamp": datetime.now(UTC).isoformat(), "step": step, **facts}
        print(json.dumps(line, ensure_ascii=False), file=stream, flush=True)

    return told


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


# Libraries whose log lines and warnings repeat what they raise, and quote traces and addresses. urllib3 logs each
# retry; botocore and azure-identity log each source of credentials that has none.
NOISY_LIBRARIES = (
    *("azure.core", "azure.cosmos", "azure.identity", "boto3", "botocore", "databricks", "deltalake"),
    *("msal", "obstore", "urllib3"),
)


def quiet_libraries() -> None:
    """Silence libraries that log what they also raise. Azure's metrics exporter raises nothing: its warnings stay."""
    logging.getLogger("azure").setLevel(logging.WARNING)
    for name in NOISY_LIBRARIES:
        logging.getLogger(name).setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", module=rf"{name}(\.|$)")

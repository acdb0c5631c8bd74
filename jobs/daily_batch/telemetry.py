"""Log lines and metrics of a run: the same in a function's log and in a Spark job's.

A line names tenant, day and run, reports counts and seconds, and never holds message content. Metrics carry no tenant:
each value of a dimension is billed as a metric of its own.
"""

import json
import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, TextIO

from daily_batch.domain.metrics import Metric
from daily_batch.errors import BatchError, RetryableError, describe_error

# Each step, and what its line holds beside tenant, day, run_id, token and seconds.
STEPS = {
    "lease": "the run holds the day: `owner`, `taken_over`",
    "manifest": "the day is listed: `layout`, `objects`, `ignored`, `bytes` (as stored), `chunks`",
    "intake": "objects are read and parsed: `runner`, `objects_read`, `objects_unreadable`, `objects_erased`, `bytes`, "
    "`seen`, `rejected`, `other_day`, `empty`, `erased`",
    "clean": "rows are deduplicated, sorted, aggregated and written: `runner`, `written`, `duplicates`, `superseded`",
    "publish": "readers see the day: `rows` by table, `files`, `bytes`",
    "receipt": "the receipt is written: `status`, `receipt` (its key), `warnings` (quality rules)",
    "ledger": "the ledger is updated: `status`",
    "submit": "a Spark job is submitted instead: `service`, `job_id`, `reason`, `executors`, `disk_gb`",
    "settle": "the Spark job has ended: `service`, `job_id`, `status`",
}


class Telemetry(Protocol):
    """The log and the metrics of one call of a function, or of one process."""

    def bind(self, **context: Any) -> None:
        """Add context to every later line of this call."""

    def debug(self, message: str, **facts: Any) -> None:
        """Log a detail; it is dropped by default."""

    def info(self, message: str, **facts: Any) -> None:
        """Log what was done."""

    def error(self, message: str, **facts: Any) -> None:
        """Log what needs attention."""

    def measure(self, metric: Metric, value: float = 1) -> None:
        """Record a value of a metric in its unit; counts add up."""


class NoTelemetry:
    """Drop everything: for commands, whose users see progress and results instead."""

    def bind(self, **context: Any) -> None:
        """See `Telemetry`."""

    def debug(self, message: str, **facts: Any) -> None:
        """See `Telemetry`."""

    def info(self, message: str, **facts: Any) -> None:
        """See `Telemetry`."""

    def error(self, message: str, **facts: Any) -> None:
        """See `Telemetry`."""

    def measure(self, metric: Metric, value: float = 1) -> None:
        """See `Telemetry`."""


@dataclass
class JsonLines:
    """Write log lines as JSON to a stream, for a process without a cloud's log; drop metrics and details."""

    stream: TextIO
    context: dict[str, Any] = field(default_factory=dict)

    def bind(self, **context: Any) -> None:
        """See `Telemetry`."""
        self.context |= context

    def debug(self, message: str, **facts: Any) -> None:
        """See `Telemetry`."""

    def info(self, message: str, **facts: Any) -> None:
        """See `Telemetry`."""
        self._write("INFO", message, facts)

    def error(self, message: str, **facts: Any) -> None:
        """See `Telemetry`."""
        self._write("ERROR", message, facts)

    def measure(self, metric: Metric, value: float = 1) -> None:
        """See `Telemetry`."""

    def _write(self, level: str, message: str, facts: dict[str, Any]) -> None:
        line = {"message": message, "level": level, "timestamp": datetime.now(UTC).isoformat(), **self.context, **facts}
        print(json.dumps(line, ensure_ascii=False, default=str), file=self.stream, flush=True)


@dataclass(frozen=True, kw_only=True)
class StepLog:
    """The steps of one run: each line names its tenant, day, run id and fencing token."""

    telemetry: Telemetry
    tenant: str
    day: str
    run_id: str | None
    token: int | None

    def log(self, step: str, /, **facts: Any) -> None:
        """Log a step of `STEPS` that has succeeded."""
        context = {"tenant": self.tenant, "day": self.day, "run_id": self.run_id, "token": self.token}
        self.telemetry.info("step", step=step, **context, **facts)

    @contextmanager
    def timed(self, step: str, /, **facts: Any) -> Iterator[dict[str, Any]]:
        """Log a step with its seconds once it has succeeded. Facts that are known only then go into the dict."""
        started = time.perf_counter()
        yield facts
        self.log(step, seconds=seconds_since(started), **facts)


def seconds_since(started: float) -> float:
    """Return the seconds since a moment of `time.perf_counter`, rounded as log lines and receipts show them."""
    return round(time.perf_counter() - started, 3)


@contextmanager
def sanitized_errors(telemetry: Telemetry) -> Iterator[None]:
    """Log an error, and raise it without its cause: the cause may quote what was read, and hosts log tracebacks.

    Raises:
        BatchError: The error; a RetryableError for one that is not ours.
    """
    try:
        yield
    except Exception as error:
        telemetry.error(describe_error(error))
        raise sanitize(error) from None


def sanitize(error: Exception) -> BatchError:
    """Return an error to raise `from None`: our own as it is, any other reduced to its type and place in the code."""
    if isinstance(error, BatchError):
        return error
    return RetryableError(describe_error(error), next_step="try again; if it fails again, report it")


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

"""The log: lines of JSON by way of the standard library, which the host hands on to Application Insights; and metrics.

The worker process tells its lines to the host, which sends them under its own name of the role, the app setting
WEBSITE_CLOUD_ROLENAME (makoto-daily-batch). Metrics do not go through the host: this process sends them under the same
name, by OpenTelemetry (`azure_trigger.measuring`). Lines stay with the host, which knows what call each is of.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from azure_trigger.measuring import find_meter
from daily_batch.domain.metrics import Metric
from daily_batch.telemetry import quiet_libraries

_logger = logging.getLogger("makoto-daily-batch")
# Their lines of every request would cost more than the functions.
quiet_libraries()


@contextmanager
def open_log() -> Iterator["JsonLog"]:
    """The log of one call of a function; what it measured is sent when the call ends, also by an error."""
    log = JsonLog()
    try:
        yield log
    finally:
        log.send()


class JsonLog:
    """The lines of one call of a function, and its metrics, which are lines too: `metric`, `value` and `unit`."""

    def __init__(self) -> None:
        self._facts: dict[str, Any] = {}
        self._measured: list[tuple[Metric, float]] = []

    def about(self, **facts: Any) -> None:
        """Name facts on every further line."""
        self._facts |= facts

    def debug(self, message: str, **facts: Any) -> None:
        """A line that the worker process drops, unless PYTHON_ENABLE_DEBUG_LOGGING is 1."""
        self._write(logging.DEBUG, message, facts)

    def info(self, message: str, **facts: Any) -> None:
        """A line that says what was done."""
        self._write(logging.INFO, message, facts)

    def error(self, message: str, **facts: Any) -> None:
        """A line that a person should look at."""
        self._write(logging.ERROR, message, facts)

    def measure(self, metric: Metric, value: float = 1) -> None:
        """A value of a metric, to be sent; nothing is no line."""
        self._measured.append((metric, value))
        if value:
            self._write(logging.INFO, "metric", {"metric": metric.name, "value": value, "unit": metric.unit})

    def send(self) -> None:
        """Send what was measured, where there is something to send it to."""
        measured, self._measured = self._measured, []
        meter = find_meter() if measured else None
        if meter is None:
            return
        for metric, value in measured:
            meter.record(metric, value)
        meter.send()

    def _write(self, level: int, message: str, facts: dict[str, Any]) -> None:
        if _logger.isEnabledFor(level):
            line = {"message": message, **self._facts, **facts}
            _logger.log(level, "%s", json.dumps(line, default=str, ensure_ascii=False))

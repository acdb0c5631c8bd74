"""Log and metrics of one call: JSON lines by the standard library, and metrics by OpenTelemetry.

The host forwards the lines to Application Insights under its role name, the app setting WEBSITE_CLOUD_ROLENAME
(makoto-daily-batch), and knows to which call each belongs. Metrics bypass the host, which samples its lines: this
process sends them under the same role name (`azure_trigger.metrics_export`).
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from azure_trigger.metrics_export import find_meter
from daily_batch.domain.metrics import Metric
from daily_batch.telemetry import quiet_libraries

_logger = logging.getLogger("makoto-daily-batch")
# The libraries' line for each request would cost more than the functions.
quiet_libraries()


@contextmanager
def open_log() -> Iterator["JsonLog"]:
    """Open the log of one call; its metrics are sent when the call ends, also by an error."""
    log = JsonLog()
    try:
        yield log
    finally:
        log.send()


class JsonLog:
    """Telemetry of one call. Each metric is logged too, as a line with `metric`, `value` and `unit`."""

    def __init__(self) -> None:
        self._context: dict[str, Any] = {}
        self._measured: list[tuple[Metric, float]] = []

    def bind(self, **context: Any) -> None:
        """Add context to every later line."""
        self._context |= context

    def debug(self, message: str, **facts: Any) -> None:
        """Log a detail; the worker process drops it unless PYTHON_ENABLE_DEBUG_LOGGING is 1."""
        self._write(logging.DEBUG, message, facts)

    def info(self, message: str, **facts: Any) -> None:
        """Log what was done."""
        self._write(logging.INFO, message, facts)

    def error(self, message: str, **facts: Any) -> None:
        """Log what needs attention."""
        self._write(logging.ERROR, message, facts)

    def measure(self, metric: Metric, value: float = 1) -> None:
        """Record a value of a metric; zero is sent but not logged."""
        self._measured.append((metric, value))
        if value:
            self._write(logging.INFO, "metric", {"metric": metric.name, "value": value, "unit": metric.unit})

    def send(self) -> None:
        """Send the recorded metrics, if Application Insights is configured."""
        measured, self._measured = self._measured, []
        meter = find_meter() if measured else None
        if meter is None:
            return
        for metric, value in measured:
            meter.record(metric, value)
        meter.send()

    def _write(self, level: int, message: str, facts: dict[str, Any]) -> None:
        if _logger.isEnabledFor(level):
            line = {"message": message, **self._context, **facts}
            _logger.log(level, "%s", json.dumps(line, default=str, ensure_ascii=False))

"""The log: lines of JSON by way of the standard library, which the host hands on to Application Insights.

The worker process tells its lines to the host, and the host sends them under its own name of the role. That name is the
app setting WEBSITE_CLOUD_ROLENAME (makoto-daily-batch). OpenTelemetry's service name would count only if the process
sent its lines itself (PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY), which asks for a distribution of its own.
"""

import json
import logging
from typing import Any

_logger = logging.getLogger("makoto-daily-batch")
# Their lines of every request would cost more than the functions.
for _name in ("azure", "databricks"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class JsonLog:
    """The lines of one call of a function, and its counts, which are lines too: `metric` and `value`."""

    def __init__(self) -> None:
        self._facts: dict[str, Any] = {}

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

    def count(self, metric: str, times: int = 1) -> None:
        """Add to a metric; nothing is no line."""
        if times:
            self._write(logging.INFO, "count", {"metric": metric, "value": times})

    def _write(self, level: int, message: str, facts: dict[str, Any]) -> None:
        if _logger.isEnabledFor(level):
            line = {"message": message, **self._facts, **facts}
            _logger.log(level, "%s", json.dumps(line, default=str, ensure_ascii=False))

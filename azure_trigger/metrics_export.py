"""Send metrics to Application Insights by OpenTelemetry, at the end of each call.

They do not go through the log, because the host samples its lines. Without a connection string nothing is sent. The
exporter itself reads the identity to use from APPLICATIONINSIGHTS_AUTHENTICATION_STRING.
"""

import logging
import math
import os
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from daily_batch.domain.metrics import METRICS, Metric

if TYPE_CHECKING:
    from opentelemetry.metrics import Counter, Histogram

CONNECTION = "APPLICATIONINSIGHTS_CONNECTION_STRING"
# The role name of the host's own telemetry (infra/azure/main.bicep).
ROLE, DEFAULT_ROLE = "WEBSITE_CLOUD_ROLENAME", "makoto-daily-batch"
# A run must not wait for its metrics.
SECONDS, RETRIES = 5.0, 1
# The exporter's own telemetry to Microsoft, and its requests for remote configuration, in threads of its own.
EXPORTER_TELEMETRY = (
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED",
)
_logger = logging.getLogger("makoto-daily-batch")


class Meter:
    """The metrics of a process; `send` sends what was recorded since the last call."""

    def __init__(self, connection: str, role: str) -> None:
        for name in EXPORTER_TELEMETRY:
            os.environ[name] = "true"
        # This import takes a quarter of a second, which a cold start need not.
        from azure.monitor.opentelemetry.exporter import AzureMonitorMetricExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.metrics.view import View
        from opentelemetry.sdk.resources import Resource

        exporter = AzureMonitorMetricExporter(
            connection_string=connection,
            # Its files are for retries later, but the instance seldom lives that long.
            disable_offline_storage=True,
            timeout=SECONDS,
            read_timeout=SECONDS,
            retry_total=RETRIES,
        )
        self._provider = MeterProvider(
            [PeriodicExportingMetricReader(exporter, export_interval_millis=math.inf)],
            resource=Resource({"service.name": role}),
            # OpenTelemetry lower-cases instrument names; the names of views stay as they are.
            views=[View(instrument_name=metric.name.lower(), name=metric.name) for metric in METRICS],
            shutdown_on_exit=False,
        )
        meter = self._provider.get_meter("makoto-daily-batch")
        self._counters: Mapping[Metric, Counter] = {
            metric: meter.create_counter(metric.name, unit="1") for metric in METRICS if metric.unit == "Count"
        }
        units = {"Percent": "%", "Seconds": "s"}
        self._others: Mapping[Metric, Histogram] = {
            metric: meter.create_histogram(metric.name, unit=units[metric.unit])
            for metric in METRICS
            if metric.unit in units
        }

    def record(self, metric: Metric, value: float) -> None:
        """Record a value: counts add up; other metrics are sent as count, sum, minimum and maximum."""
        if metric in self._counters:
            self._counters[metric].add(value)
        else:
            self._others[metric].record(value)

    def send(self) -> None:
        """Send what was recorded since the last call. What is not accepted is lost, and the log says why."""
        self._provider.force_flush()


@cache
def find_meter() -> Meter | None:
    """Return this process's meter; None if no connection string is set, or the exporter cannot be created."""
    connection = os.environ.get(CONNECTION)
    if not connection:
        return None
    try:
        return Meter(connection, os.environ.get(ROLE) or DEFAULT_ROLE)
    except Exception as error:  # a run never fails for its metrics
        _logger.error("no metrics are exported: the exporter cannot be created (%s)", type(error).__name__)  # noqa: TRY400
        return None

"""Metrics in Application Insights, by OpenTelemetry: this process sends them itself, at the end of each call.

Not by way of the log, for the host samples its lines. Nothing is sent where no connection string is set. By whose
identity is said by APPLICATIONINSIGHTS_AUTHENTICATION_STRING, which the exporter reads itself.
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
# The host sends its own telemetry under it (infra/azure/main.bicep).
ROLE, USUAL_ROLE = "WEBSITE_CLOUD_ROLENAME", "makoto-daily-batch"
# A night must not wait for its figures.
SECONDS, RETRIES = 5.0, 1
# What the exporter would tell Microsoft of itself, in threads of its own, and what it would ask there.
OTHERS_AFFAIRS = (
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED",
)
_logger = logging.getLogger("makoto-daily-batch")


class Meter:
    """The metrics of a process, each with its name and unit; `send` sends what was recorded since the last time."""

    def __init__(self, connection: str, role: str) -> None:
        for name in OTHERS_AFFAIRS:
            os.environ[name] = "true"
        # A quarter of a second, which a start need not take.
        from azure.monitor.opentelemetry.exporter import AzureMonitorMetricExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.metrics.view import View
        from opentelemetry.sdk.resources import Resource

        exporter = AzureMonitorMetricExporter(
            connection_string=connection,
            # Its files would outlive the call, and the instance seldom does.
            disable_offline_storage=True,
            timeout=SECONDS,
            read_timeout=SECONDS,
            retry_total=RETRIES,
        )
        self._provider = MeterProvider(
            [PeriodicExportingMetricReader(exporter, export_interval_millis=math.inf)],
            resource=Resource({"service.name": role}),
            # OpenTelemetry's own names are in small letters; those of a view stay as they are.
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
        """A count adds up; of any other there are number, sum, least and most."""
        if metric in self._counters:
            self._counters[metric].add(value)
        else:
            self._others[metric].record(value)

    def send(self) -> None:
        """Send what was recorded since the last time; what is not taken is lost, and the log tells why."""
        self._provider.force_flush()


@cache
def find_meter() -> Meter | None:
    """This process's meter; None where nothing is set to send to, or it cannot be made."""
    connection = os.environ.get(CONNECTION)
    if not connection:
        return None
    try:
        return Meter(connection, os.environ.get(ROLE) or USUAL_ROLE)
    except Exception as error:  # a night never fails for its figures
        _logger.error("there are no metrics: the exporter is not made (%s)", type(error).__name__)  # noqa: TRY400
        return None

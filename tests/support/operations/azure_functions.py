"""Call the Azure Functions in this process, and derive the rows of Application Insights."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import azure.functions as func

from azure_trigger import dispatcher, watcher, worker
from azure_trigger.environment import read_settings
from azure_trigger.function_app import HOST
from daily_batch.orchestration import Task, write_task
from daily_batch.settings import Settings
from tests.local_cloud.azure.application_insights import Ingestion
from tests.support.operations.insights_tables import Row, make_row
from tests.support.operations.synthetic_night import Night

NAME = "makoto-daily-batch"
SEVERITIES = {logging.INFO: 1, logging.WARNING: 2, logging.ERROR: 3}


@dataclass
class AzureFunctions:
    """Call the functions; `rows` collects the rows of the calls, by table.

    Requests, exceptions and traces are recorded as the documentation of Azure's host specifies.
    """

    night: Night
    insights: Ingestion
    rows: dict[str, list[Row]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        connection = self.insights.connection_string
        self.night.set_env(APPLICATIONINSIGHTS_CONNECTION_STRING=connection, WEBSITE_CLOUD_ROLENAME=NAME)
        for module in (dispatcher, watcher, worker):
            self.night.monkeypatch.setattr(module, "now", self.night.clock)

    def settings(self) -> Settings:
        return read_settings()

    def dispatch(self) -> None:
        self._call("night", lambda: dispatcher.dispatch_night(cast(func.TimerRequest, SimpleNamespace())))

    def deliver(self, task: Task) -> None:
        """Deliver a task's message once."""
        context = cast(func.Context, SimpleNamespace(function_name="worker", invocation_id="1"))
        self._call("worker", lambda: worker.handle(self._message(task), context, host=HOST))

    def exhaust_deliveries(self, task: Task) -> None:
        """Deliver a task's message until the host moves it to the poison queue, and call `poison`."""
        host = json.loads(HOST.read_text(encoding="utf-8"))
        for _ in range(host["extensions"]["queues"]["maxDequeueCount"]):
            self.deliver(task)
        self._call("poison", lambda: worker.report_poison(self._message(task)))

    def watch(self) -> None:
        self._call("watch", watcher.reconcile)

    def _message(self, task: Task) -> func.QueueMessage:
        body = write_task(task).encode()
        message = SimpleNamespace(get_body=lambda: body, insertion_time=self.night.clock(), id="1")
        return cast(func.QueueMessage, message)

    def _call(self, name: str, function: Callable[[], Any]) -> None:
        recorded = len(self.insights.rows())
        self._row("requests", name=name, operation_Name=name, success=True, duration=12.5)
        try:
            with self._record_traces(name):
                function()
        except Exception as error:
            self.rows["requests"][-1]["success"] = False
            self._row("exceptions", type=type(error).__name__, operation_Name=name)
        self.rows.setdefault("customMetrics", []).extend(
            make_row(metric, self.night.clock()) for metric in self.insights.rows()[recorded:]
        )

    @contextmanager
    def _record_traces(self, name: str) -> Iterator[None]:
        """Record each log record of the call as a trace."""
        handler = logging.Handler()
        handler.emit = lambda record: self._row(  # type: ignore[method-assign]  # a handler for one call
            "traces", message=record.getMessage(), severityLevel=SEVERITIES[record.levelno], operation_Name=name
        )
        logger = logging.getLogger(NAME)
        level, logger.level = logger.level, logging.INFO
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)

    def _row(self, table: str, **values: Any) -> None:
        self.rows.setdefault(table, []).append({"timestamp": self.night.clock(), "cloud_RoleName": NAME, **values})

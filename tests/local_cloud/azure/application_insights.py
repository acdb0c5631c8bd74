"""Application Insights' door for telemetry on this machine: it takes what an exporter sends, and keeps the metrics."""

import gzip
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# Any will do; only its form is looked at.
KEY = "11111111-2222-3333-4444-555555555555"


@dataclass(frozen=True, kw_only=True)
class CustomMetric:
    """A row of customMetrics: its name, `valueSum` and so on, and `cloud_RoleName`."""

    name: str
    role: str
    sum: float
    count: int
    min: float | None
    max: float | None


@dataclass
class Ingestion:
    """What was sent. `refuse` answers with that status instead."""

    address: str = ""
    refuse: int | None = None
    requests: list[tuple[str, list[dict[str, Any]]]] = field(default_factory=list)

    @property
    def connection_string(self) -> str:
        """What an app is told."""
        return f"InstrumentationKey={KEY};IngestionEndpoint={self.address}"

    def rows(self) -> list[CustomMetric]:
        """The rows of customMetrics, in the order in which they came."""
        items = [item for _, sent in self.requests for item in sent if item["data"]["baseType"] == "MetricData"]
        return [_read_row(item, point) for item in items for point in item["data"]["baseData"]["metrics"]]

    def sums(self) -> dict[str, float]:
        """`sum(valueSum) by name`."""
        sums: dict[str, float] = {}
        for row in self.rows():
            sums[row.name] = sums.get(row.name, 0) + row.sum
        return sums


@contextmanager
def serve_ingestion() -> Iterator[Ingestion]:
    """Serve on a free port of this machine."""
    ingestion = Ingestion()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            items = json.loads(body)
            answer = {"itemsReceived": len(items), "itemsAccepted": 0 if ingestion.refuse else len(items), "errors": []}
            told = json.dumps(answer).encode()
            if ingestion.refuse is None:
                ingestion.requests.append((self.path, items))
            self.send_response(ingestion.refuse or 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *_: Any) -> None:
            """Nothing: the tests look at what was sent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ingestion.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield ingestion
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _read_row(item: Mapping[str, Any], point: Mapping[str, Any]) -> CustomMetric:
    return CustomMetric(
        name=point["name"],
        role=item["tags"]["ai.cloud.role"],
        sum=point["value"],
        count=point["count"],
        min=point.get("min"),
        max=point.get("max"),
    )

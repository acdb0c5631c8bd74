"""An emulator of Application Insights' ingestion endpoint, which stores the metrics that an exporter sends."""

import gzip
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.local_cloud.common.http_server import KeptConnectionHandler, Server

# Any key will do: only its form is checked.
KEY = "11111111-2222-3333-4444-555555555555"


@dataclass(frozen=True, kw_only=True)
class CustomMetric:
    """A row of customMetrics: its name, `cloud_RoleName`, and the sum, count, minimum and maximum of its values."""

    name: str
    role: str
    sum: float
    count: int
    min: float | None
    max: float | None


@dataclass
class Ingestion:
    """The telemetry that was sent. If `refuse` is set, requests are answered with that status."""

    address: str = ""
    refuse: int | None = None
    requests: list[tuple[str, list[dict[str, Any]]]] = field(default_factory=list)

    @property
    def connection_string(self) -> str:
        """The connection string for an app."""
        return f"InstrumentationKey={KEY};IngestionEndpoint={self.address}"

    def rows(self) -> list[CustomMetric]:
        """Return the rows of customMetrics in order of arrival."""
        items = [item for _, sent in self.requests for item in sent if item["data"]["baseType"] == "MetricData"]
        return [_read_row(item, point) for item in items for point in item["data"]["baseData"]["metrics"]]

    def sums(self) -> dict[str, float]:
        """Return `sum(valueSum) by name`."""
        sums: dict[str, float] = {}
        for row in self.rows():
            sums[row.name] = sums.get(row.name, 0) + row.sum
        return sums


@contextmanager
def serve_ingestion() -> Iterator[Ingestion]:
    """Serve on a free loopback port."""
    ingestion = Ingestion()

    class Handler(KeptConnectionHandler):
        def do_POST(self) -> None:  # noqa: N802 - http.server's name
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            items = json.loads(body)
            answer = {"itemsReceived": len(items), "itemsAccepted": 0 if ingestion.refuse else len(items), "errors": []}
            content = json.dumps(answer).encode()
            if ingestion.refuse is None:
                ingestion.requests.append((self.path, items))
            self.send_response(ingestion.refuse or 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = Server(("127.0.0.1", 0), Handler)
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

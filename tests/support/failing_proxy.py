"""Run a proxy in front of a storage service or Cosmos DB that breaks selected responses.

It is a process of its own, because delta-rs holds Python's lock while it waits. Arguments: the server's URL, the rules.
"""

import http.client
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from itertools import count
from threading import Thread
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from tests.local_cloud.common.http_server import KeptConnectionHandler, Server
from tests.support.spark_session import ROOT

HOP_BY_HOP = ("content-length", "transfer-encoding", "connection", "server", "date")
XML, JSON = "application/xml", "application/json"
FAULT_RESPONSES: dict[str, tuple[int, dict[str, str], str]] = {
    "slow down": (503, {"Content-Type": XML}, "<Error><Code>SlowDown</Code><Message>SlowDown</Message></Error>"),
    "denied": (403, {"Content-Type": XML}, "<Error><Code>AccessDenied</Code><Message>AccessDenied</Message></Error>"),
    "throttled": (429, {"Content-Type": JSON, "x-ms-retry-after-ms": "20"}, '{"code": "429"}'),
    "unavailable": (503, {"Content-Type": JSON}, '{"code": "ServiceUnavailable"}'),
}


class Rule(NamedTuple):
    """Break every `every`-th request whose method, path and query match a pattern."""

    fault: Literal["slow down", "denied", "cut short", "throttled", "unavailable"]
    pattern: str
    every: int = 1


@contextmanager
def failing_proxy(target: str, *rules: Rule) -> Iterator[str]:
    """Run a proxy in front of the server at `target` and yield its URL."""
    command = [sys.executable, "-m", "tests.support.failing_proxy", target, json.dumps(rules)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout is not None
        yield proxy.stdout.readline().strip()
        proxy.terminate()


def main() -> None:
    target, rules = sys.argv[1:]
    server = Server(("127.0.0.1", 0), _handler(target, [Rule(*rule) for rule in json.loads(rules)]))
    Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()


def _handler(target: str, rules: Sequence[Rule]) -> type[BaseHTTPRequestHandler]:
    address = urlsplit(target).netloc
    hits = [count(1) for _ in rules]

    def find_fault(request: str) -> str | None:
        for rule, numbers in zip(rules, hits, strict=True):
            if re.search(rule.pattern, request) and next(numbers) % rule.every == 0:
                return rule.fault
        return None

    class Handler(KeptConnectionHandler):
        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = find_fault(f"{self.command} {self.path}")
            if fault in FAULT_RESPONSES:
                status, headers, text = FAULT_RESPONSES[fault]
                self._respond(status, headers, text.encode(), len(text))
                return
            upstream = http.client.HTTPConnection(address)
            upstream.request(self.command, self.path, body=body, headers=dict(self.headers))
            response = upstream.getresponse()
            content = response.read()
            if self.path == "/":  # an account of Cosmos DB returns the URLs of its regions
                content = content.replace(address.encode(), self.headers["Host"].encode())
            size = len(content) if self.path == "/" else int(response.headers.get("Content-Length") or len(content))
            forwarded = {name: value for name, value in response.headers.items() if name.lower() not in HOP_BY_HOP}
            if fault == "cut short":
                self._respond(response.status, forwarded, content[: len(content) // 2], size)
                self.close_connection = True
                return
            self._respond(response.status, forwarded, content, size)

        # The base class dispatches to a method by the request's name.
        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _forward  # noqa: N815

        def _respond(self, status: int, headers: dict[str, str], content: bytes, size: int) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    return Handler


if __name__ == "__main__":
    main()

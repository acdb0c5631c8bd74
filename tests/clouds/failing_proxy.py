"""A server between a run and its S3 that breaks chosen answers, as a service in trouble does."""

import http.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Literal
from urllib.parse import urlsplit

Trouble = Literal["slow down", "denied", "cut short"] | None
# Called with the method, the path with its query, and the number of the request, from 1.
Rule = Callable[[str, str, int], Trouble]

ANSWERS = {"slow down": (503, "SlowDown"), "denied": (403, "AccessDenied")}


@contextmanager
def failing_proxy(target: str, rule: Rule) -> Iterator[str]:
    """Stand in front of the server at `target`; yield the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(target, rule))
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(target: str, rule: Rule) -> type[BaseHTTPRequestHandler]:
    address = urlsplit(target).netloc
    lock, numbers = Lock(), iter(range(1, 10**9))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with lock:
                trouble = rule(self.command, self.path, next(numbers))
            if trouble in ANSWERS:
                status, code = ANSWERS[str(trouble)]
                told = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
                self._answer(status, {"Content-Type": "application/xml"}, told, len(told))
                return
            upstream = http.client.HTTPConnection(address)
            upstream.request(self.command, self.path, body=body, headers=dict(self.headers))
            answer = upstream.getresponse()
            content = answer.read()
            size = int(answer.headers.get("Content-Length") or len(content))
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
            if trouble == "cut short":
                self._answer(answer.status, kept, content[: len(content) // 2], size)
                self.close_connection = True
                return
            self._answer(answer.status, kept, content, size)

        # The base class calls the method that has the request's name.
        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on  # noqa: N815

        def _answer(self, status: int, headers: dict[str, str], content: bytes, size: int) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

    return Handler


HOP_BY_HOP = ("content-length", "transfer-encoding", "connection", "server", "date")

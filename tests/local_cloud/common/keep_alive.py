"""Serve WSGI requests over connections that stay open, as the services do; werkzeug closes each after one request."""

import sys
import traceback
from http import HTTPStatus
from io import BytesIO
from typing import Any

from werkzeug.serving import WSGIRequestHandler

_WITHOUT_CONTENT = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


class KeepAliveHandler(WSGIRequestHandler):
    """A request handler that reads each request to its end, responds in one write, and logs nothing."""

    wbufsize = -1
    disable_nagle_algorithm = True

    def handle_expect_100(self) -> bool:
        """Ask for the body at once."""
        accepted = super().handle_expect_100()
        self.wfile.flush()
        return accepted

    def run_wsgi(self) -> None:
        """Handle one request."""
        environ = self.make_environ()
        length = -1 if environ.get("wsgi.input_terminated") else int(environ.get("CONTENT_LENGTH") or 0)
        # What the application leaves unread would be taken for the next request.
        environ["wsgi.input"] = BytesIO(environ["wsgi.input"].read(length))
        try:
            status, headers, content = self._run(environ)
        except ConnectionError:  # the response is lost on purpose
            self.close_connection = True
            return
        except Exception:
            traceback.print_exc(file=sys.stderr)
            status, headers, content = "500 Internal Server Error", [], b""
        self._respond(status, headers, content)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""

    def _run(self, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
        """Call the application and return status, headers and content."""
        started: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            started[:] = [status, headers]

        parts = self.server.app(environ, start_response)
        try:
            content = b"".join(parts)
        finally:
            if hasattr(parts, "close"):
                parts.close()
        return started[0], started[1], content

    def _respond(self, status: str, headers: list[tuple[str, str]], content: bytes) -> None:
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for name, value in headers:
            # The length in a response to HEAD is the object's.
            if name.lower() != "content-length" or self.command == "HEAD":
                self.send_header(name, value)
        if self.command != "HEAD" and int(code) not in _WITHOUT_CONTENT:
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        else:
            self.end_headers()
        self.wfile.flush()

"""An HTTP server for local services: connections stay open and responses leave at once, as with the real ones."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class KeptConnectionHandler(BaseHTTPRequestHandler):
    """A request handler that keeps its connection and logs nothing; each response needs its length."""

    protocol_version = "HTTP/1.1"
    # Else a response's body waits 40 ms for the client's delayed acknowledgement of the headers.
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class Server(ThreadingHTTPServer):
    """A server with a thread for each connection."""

    daemon_threads = True
    # Of five, the default, a burst of clients loses connections, which the system opens again after a second.
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print the error, unless the client is gone: tests kill it."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

"""Drop the response of a request, and serve requests without logging them."""

import socket
from typing import Any, NoReturn

from werkzeug.serving import WSGIRequestHandler


class ConnectionLostError(ConnectionError):
    """The client gets no response. werkzeug handles this class of error without a traceback."""


def drop_connection(environ: dict[str, Any]) -> NoReturn:
    """Close the client's connection without a response."""
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionLostError


class QuietHandler(WSGIRequestHandler):
    """A request handler that logs nothing."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""

"""A server's answer that never comes, and a server that says nothing of its requests."""

import socket
from typing import Any, NoReturn

from werkzeug.serving import WSGIRequestHandler


class ConnectionLost(ConnectionError):
    """The caller gets no answer; werkzeug asks for no other error than this."""


def lose_answer(environ: dict[str, Any]) -> NoReturn:
    """Let whoever waits for an answer learn that there will be none."""
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionLost


class QuietHandler(WSGIRequestHandler):
    """Writes no line for each request."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""

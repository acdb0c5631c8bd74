"""A refusing proxy that records requests to the instance metadata service (169.254.169.254), which Functions lack."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class MetadataGuard:
    """The recorded requests beyond the loopback."""

    requests: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)


@contextmanager
def guard_metadata() -> Iterator[MetadataGuard]:
    """Refuse all plain HTTP beyond the loopback, of Python and Rust clients alike."""
    guard = MetadataGuard()

    class Refusal(BaseHTTPRequestHandler):
        def _refuse(self) -> None:
            guard.requests.append(self.path)
            self.send_error(403)

        def log_message(self, *_: object) -> None:
            pass

        do_GET = do_POST = do_PUT = _refuse  # noqa: N815 - http.server's names

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy"), address)
        guard.environment.update({**proxies, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"})
        yield guard
        server.shutdown()

"""A webhook on the loopback that records what is posted to it, and fails as a test says."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

PATH = "/services/T000/B000/secret-of-the-webhook"


class Post(NamedTuple):
    """One received request."""

    path: str
    headers: dict[str, str]
    size: int
    document: dict[str, Any]


@dataclass
class Receiver:
    """The posts so far, and the response to the next ones: a status, where it redirects to, or none at all."""

    origin: str
    posts: list[Post] = field(default_factory=list)
    status: int = 200
    location: str = ""
    hangs: bool = False
    drops: bool = False
    arrived: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"{self.origin}{PATH}"


@contextmanager
def receive_webhooks() -> Iterator[Receiver]:
    """Serve a webhook on a free loopback port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.posts.append(Post(self.path, dict(self.headers), len(body), json.loads(body)))
            receiver.arrived.set()
            if receiver.hangs:
                receiver.released.wait()
            if receiver.hangs or receiver.drops:
                return
            self.send_response(receiver.status)
            if receiver.location:
                self.send_header("Location", receiver.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            """Record a request that followed a redirect."""
            receiver.posts.append(Post(self.path, dict(self.headers), 0, {}))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield receiver
        receiver.released.set()
        server.shutdown()

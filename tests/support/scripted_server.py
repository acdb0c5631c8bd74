"""An HTTP server with scripted answers, for what no emulator does by itself: denying and throttling."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tests.local_cloud.common.http_server import KeptConnectionHandler, Server


class Answer(NamedTuple):
    status: int
    body: dict[str, object]
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed


@contextmanager
def answering(answer: Callable[[str], Answer]) -> Iterator[str]:
    """Yield the URL of a server that answers a request for a path with `answer(path)`."""

    class Handler(KeptConnectionHandler):
        def do_GET(self) -> None:  # noqa: N802 - http.server's name
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body, headers = answer(self.path)
            payload = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(payload))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(payload)

        do_POST = do_PUT = do_GET  # noqa: N815 - the base class's names

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()

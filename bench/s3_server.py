"""Serve S3 from memory, fast and with injected latency: `python -m bench.s3_server --help`.

Moto serves about 170 GETs a second; this server must keep up with the contenders on a fraction of one core.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import PIPE, Popen

from bench.s3_bucket import Bucket
from bench.s3_generated import GeneratedListing
from bench.s3_protocol import Request, Service

BUCKET = "bench"


class Delay:
    """Delays responses in one queue: all wait equally long, so they leave in order and one timer is enough."""

    def __init__(self, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        self.seconds, self.loop = seconds, loop
        self.queue: deque[tuple[float, asyncio.Transport, bytes]] = deque()

    def send(self, transport: asyncio.Transport, response: bytes) -> None:
        if not self.seconds:
            transport.write(response)
            return
        self.queue.append((self.loop.time() + self.seconds, transport, response))
        if len(self.queue) == 1:
            self.loop.call_at(self.queue[0][0], self._flush)

    def _flush(self) -> None:
        now = self.loop.time()
        while self.queue and self.queue[0][0] <= now:
            _, transport, response = self.queue.popleft()
            if not transport.is_closing():
                transport.write(response)
        if self.queue:
            self.loop.call_at(self.queue[0][0], self._flush)


class Connection(asyncio.Protocol):
    """One keep-alive connection: passes complete requests to `handle`, and sends the responses after the delay."""

    def __init__(self, handle: Callable[[Request], bytes], delay: Delay) -> None:
        self.handle, self.delay = handle, delay
        self.buffer = bytearray()
        self.continued = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            first, *lines = self.buffer[:end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            stop = end + 4 + int(headers.get("content-length", 0))
            if len(self.buffer) < stop:
                if "expect" in headers and not self.continued:
                    self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                    self.continued = True
                return
            method, target, _ = first.split(" ", 2)
            body = bytes(self.buffer[end + 4 : stop])
            if headers.get("x-amz-content-sha256", "").startswith("STREAMING-"):
                body = unchunk(body)
            del self.buffer[:stop]
            self.continued = False
            self.delay.send(self.transport, self.handle(Request(method, target, headers, body)))


def unchunk(body: bytes) -> bytes:
    """Decode AWS's signed or unsigned chunks (`size[;signature]`, then bytes); trailers are dropped."""
    parts, at = [], 0
    while (end := body.find(b"\r\n", at)) >= 0:
        size = int(body[at:end].partition(b";")[0], 16)
        if not size:
            break
        parts.append(body[end + 2 : end + 2 + size])
        at = end + 2 + size + 2
    return b"".join(parts)


def read_folder(folder: Path) -> list[tuple[str, bytes]]:
    """Return every file under a folder with its relative path."""
    return [(str(path.relative_to(folder)), path.read_bytes()) for path in folder.rglob("*") if path.is_file()]


def generate_objects(messages: int, seed: int) -> list[tuple[str, bytes]]:
    """Return a generated day with one object per message."""
    from daily_batch.synthetic import Tally, iterate_objects

    return list(iterate_objects(messages=messages, seed=seed, tally=Tally()))


async def serve(handle: Callable[[Request], bytes], *, port: int, latency: float) -> None:
    """Print the port and serve until cancelled."""
    loop = asyncio.get_running_loop()
    delay = Delay(latency, loop)
    server = await loop.create_server(lambda: Connection(handle, delay), "127.0.0.1", port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def logged(handle: Callable[[Request], bytes], path: Path) -> Callable[[Request], bytes]:
    """Return a handler that first appends the request's method and target to a file, a line each."""
    log = path.open("a", buffering=1)

    def handle_logged(request: Request) -> bytes:
        log.write(f"{request.method} {request.target}\n")
        return handle(request)

    return handle_logged


@contextmanager
def running_server(*arguments: str) -> Iterator[dict[str, str]]:
    """Run a server in its own process; yield the environment that directs S3 clients to it."""
    with Popen([sys.executable, "-m", "bench.s3_server", *arguments], stdout=PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            endpoint = f"http://127.0.0.1:{int(process.stdout.readline())}"
            yield {
                "AWS_ENDPOINT_URL": endpoint,
                "AWS_ALLOW_HTTP": "true",
                "AWS_REGION": "us-east-1",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "bench",
                "AWS_SECRET_ACCESS_KEY": "bench",
            }
        finally:
            process.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="port; 0: any free one")
    parser.add_argument("--latency-ms", type=float, default=20.0, help="latency of each response, milliseconds")
    parser.add_argument("--folder", type=Path, help="serve the files of this folder")
    parser.add_argument("--messages", type=int, default=0, help="serve a generated day of this many objects")
    parser.add_argument("--keys", type=int, default=0, help="list a day of this many keys, without any objects")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", type=Path, help="write each request's method and target to this file")
    options = parser.parse_args()
    service = GeneratedListing(options.keys, bucket=BUCKET) if options.keys else Service()
    objects = read_folder(options.folder) if options.folder else []
    objects += generate_objects(options.messages, options.seed) if options.messages else []
    service.buckets[BUCKET] = Bucket()
    service.buckets[BUCKET].fill(objects, now=time.time())
    with suppress(KeyboardInterrupt):
        handle = logged(service.handle, options.log) if options.log else service.handle
        asyncio.run(serve(handle, port=options.port, latency=options.latency_ms / 1000))


if __name__ == "__main__":
    main()

"""Run Amazon's DynamoDB Local, which ends with its parent process."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.local_cloud.common.downloads import cached_folder, fetch_jars, find_java

DYNAMODB_LOCAL = ("software.amazon.dynamodb", "DynamoDBLocal", "3.1.0")
START_SECONDS = 60


def install() -> Path:
    """Download DynamoDB Local once, and return the folder of its jars."""
    return cached_folder(f"dynamodb-local-{DYNAMODB_LOCAL[-1]}", partial(fetch_jars, *DYNAMODB_LOCAL))


@contextmanager
def serve_dynamodb() -> Iterator[str]:
    """Run DynamoDB Local in memory on a free port and yield its address."""
    folder = install()
    with refusing_port() as port:
        pass
    server = [
        *(find_java(), "-Xmx256m", f"-Dsqlite4java.library.path={folder}", "-cp", f"{folder}/*"),
        "software.amazon.dynamodb.services.local.main.ServerRunner",
        *("-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)),
    ]
    # The server ignores its standard input, so a shell waits for the end of ours and then kills it.
    until_end = ["sh", "-c", '"$@" </dev/null & cat; kill $!; wait', "sh", *server]
    with subprocess.Popen(until_end, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        _wait_for(port)
        yield f"http://127.0.0.1:{port}"


@contextmanager
def refusing_port() -> Iterator[int]:
    """Yield a loopback port that is bound but refuses connections."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError as error:
            if time.monotonic() > deadline:
                raise RuntimeError(f"DynamoDB Local did not start within {START_SECONDS} s") from error
            time.sleep(0.1)
        else:
            return

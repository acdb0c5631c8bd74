"""The HTTP server of the local AWS keeps its connections, and no request disturbs the next."""

import http.client
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from tests.local_cloud.common.keep_alive import KeepAliveHandler
from tests.local_cloud.common.response_loss import drop_connection


def application(environ: dict[str, Any], start_response: Any) -> Any:
    request = Request(environ)
    match request.path:
        case "/echo":
            answer = Response(request.get_data())
        case "/unread":
            answer = Response("not read")
        case "/empty":
            answer = Response(status=204)
        case "/length":
            answer = Response(headers={"Content-Length": "12345"})
        case "/lost":
            drop_connection(environ)
        case _:
            raise ValueError
    return answer(environ, start_response)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=KeepAliveHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()


@pytest.fixture
def connection(address: str) -> Iterator[http.client.HTTPConnection]:
    client = http.client.HTTPConnection(address, timeout=10)
    client.connect()
    client.auto_open = 0  # a closed connection is an error
    yield client
    client.close()


def ask(connection: http.client.HTTPConnection, method: str, path: str, **options: Any) -> tuple[int, bytes]:
    connection.request(method, path, **options)
    response = connection.getresponse()
    return response.status, response.read()


def test_requests_of_every_kind_share_a_connection(connection: http.client.HTTPConnection) -> None:
    for _ in range(2):
        assert ask(connection, "PUT", "/echo", body=b"sent") == (200, b"sent")
        assert ask(connection, "PUT", "/unread", body=b"x" * 100_000) == (200, b"not read")
        assert ask(connection, "PUT", "/echo", body=iter([b"in ", b"chunks"]), encode_chunked=True) == (
            200,
            b"in chunks",
        )
        assert ask(connection, "DELETE", "/empty") == (204, b"")
        assert ask(connection, "GET", "/raises") == (500, b"")
        connection.request("HEAD", "/length")
        response = connection.getresponse()
        assert (response.getheader("Content-Length"), response.read()) == ("12345", b"")


def test_a_client_that_waits_for_100_continue_is_answered(connection: http.client.HTTPConnection) -> None:
    connection.putrequest("PUT", "/echo")
    connection.putheader("Expect", "100-continue")
    connection.putheader("Content-Length", "4")
    connection.endheaders()
    assert connection.sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.send(b"sent")
    assert connection.getresponse().read() == b"sent"


def test_a_lost_response_closes_the_connection(connection: http.client.HTTPConnection) -> None:
    with pytest.raises(http.client.RemoteDisconnected):
        ask(connection, "GET", "/lost")

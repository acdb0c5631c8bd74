"""A gateway in front of Azurite's blobs that accepts only identity tokens, like a storage account without shared keys.

Azurite accepts tokens only over TLS, and ignores `startFrom` in listings, which breaks Delta's log. The gateway checks
the token, forwards the call with a SAS of its own, and filters the listing.

Runs as a separate process, because delta-rs holds the GIL while it waits. Argument: Azurite's address. It reads the
secret of the identity endpoint, prints its own address, and serves until standard input ends.
"""

import http.client
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from html import unescape
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlencode

import urllib3
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

from tests.local_cloud.azure.identity.managed_identity import STORAGE, IdentityEndpoint, read_token
from tests.local_cloud.azure.storage.azurite import ACCOUNT, KEY, Azurite
from tests.local_cloud.common.downloads import ROOT
from tests.local_cloud.common.http_server import KeptConnectionHandler, Server

_HOP_BY_HOP = ("content-length", "transfer-encoding", "connection", "server", "date", "host", "authorization")
_REFUSED = (
    b'<?xml version="1.0" encoding="utf-8"?><Error><Code>InvalidAuthenticationInfo</Code><Message>Server failed to '
    b"authenticate the request. Please refer to the information in the www-authenticate header.</Message></Error>"
)
# The path of each request in a batch.
_IN_BATCH = re.compile(rb"^DELETE (/[^ ?\r\n]*)(?:\?[^ \r\n]*)? HTTP/1\.1\r$", re.MULTILINE)
_BOUNDARY = "batchresponse_gateway"
# To Azurite: as many as it has clients, and how long a request may take.
CONNECTIONS, UPSTREAM_SECONDS = 64, 120.0
_BLOB = re.compile(rb"<Blob><Name>([^<]*)</Name>.*?</Blob>", re.DOTALL)


@contextmanager
def serve_blob_gateway(storage: Azurite, identity: IdentityEndpoint) -> Iterator[str]:
    """Start the gateway and yield its address; paths there do not contain the account name."""
    program = [sys.executable, "-m", "tests.local_cloud.azure.storage.blob_gateway", storage.blob]
    with subprocess.Popen(program, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as gateway:
        assert gateway.stdin is not None, "stdin is a pipe"  # noqa: S101
        assert gateway.stdout is not None, "stdout is a pipe"  # noqa: S101
        print(identity.secret, file=gateway.stdin, flush=True)
        address = gateway.stdout.readline().strip()
        if not address:
            raise RuntimeError("the gateway in front of Azurite did not start")
        yield address
        gateway.terminate()


def main() -> None:
    """Serve until standard input ends."""
    (target,) = sys.argv[1:]
    secret = sys.stdin.readline().strip()
    server = Server(("127.0.0.1", 0), _handler(target, secret))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()


def drop_before(listing: bytes, start: str) -> bytes:
    """Remove the blobs whose names sort before a name from a listing."""
    return _BLOB.sub(lambda found: b"" if unescape(found[1].decode()) < start else found[0], listing)


def batch_response(statuses: list[int]) -> bytes:
    """Return the response to a batch of deletions; Azurite accepts batches only with its shared key."""
    parts = [
        f"--{_BOUNDARY}\r\nContent-Type: application/http\r\nContent-ID: {number}\r\n\r\n"
        f"HTTP/1.1 {status} {http.client.responses[status]}\r\nContent-Length: 0\r\n\r\n\r\n"
        for number, status in enumerate(statuses)
    ]
    return "".join([*parts, f"--{_BOUNDARY}--\r\n"]).encode()


def _handler(azurite: str, secret: str) -> type[BaseHTTPRequestHandler]:
    permissions = {"read": True, "write": True, "delete": True, "list": True, "add": True, "create": True}
    signature = generate_account_sas(
        ACCOUNT,
        KEY,
        ResourceTypes(service=True, container=True, object=True),
        AccountSasPermissions(**permissions),
        datetime(2099, 1, 1, tzinfo=UTC),
    )
    pool = urllib3.connection_from_url(azurite, maxsize=CONNECTIONS, retries=False, timeout=UPSTREAM_SECONDS)

    class Handler(KeptConnectionHandler):
        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            scheme, _, token = self.headers.get("Authorization", "").partition(" ")
            if scheme != "Bearer" or read_token(secret, token, resource=STORAGE) is None:
                self._respond(401, {"Content-Type": "application/xml"}, _REFUSED)
                return
            path, _, query = self.path.partition("?")
            params = parse_qs(query, keep_blank_values=True)
            start = params.pop("startFrom", [""])[0]
            if params.get("comp") == ["batch"]:
                statuses = [self._delete(each.decode()) for each in _IN_BATCH.findall(body)]
                batch_type = {"Content-Type": f"multipart/mixed; boundary={_BOUNDARY}"}
                self._respond(202, batch_type, batch_response(statuses))
                return
            headers_sent = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
            upstream_path = f"/{ACCOUNT}{path}?{urlencode(params, doseq=True)}&{signature}"
            response = pool.request(self.command, upstream_path, body=body, headers=headers_sent, decode_content=False)
            headers = {name: value for name, value in response.headers.items() if name.lower() not in _HOP_BY_HOP}
            length = response.headers.get("Content-Length") if self.command == "HEAD" else None
            content = drop_before(response.data, start) if start else response.data
            self._respond(response.status, headers, content, length)

        def _delete(self, path: str) -> int:
            version = {"x-ms-version": "2021-12-02"}
            return int(pool.request("DELETE", f"/{ACCOUNT}{path}?{signature}", headers=version).status)

        def _respond(self, status: int, headers: dict[str, str], content: bytes, length: str | None = None) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", length or str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _forward  # noqa: N815 - http.server's names

    return Handler


if __name__ == "__main__":
    main()

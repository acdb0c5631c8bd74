"""An emulator of App Service's managed identity endpoint, and the tokens that it issues.

https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
"""

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from tests.local_cloud.common.response_loss import QuietHandler

PATH = "/msi/token"
VERSION = "2019-08-01"
STORAGE = "https://storage.azure.com"
# Requests for a system-assigned identity have no client id; the templates create user-assigned identities, one for the
# app and one for the jobs.
IDENTITY = "11111111-1111-1111-1111-111111111111"
JOBS_IDENTITY = "22222222-2222-2222-2222-222222222222"
UNKNOWN = "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId."


@dataclass
class IdentityEndpoint:
    """The WSGI application. `clients` are the app's identities, `seconds` the lifetime of their tokens."""

    clients: Collection[str] = (IDENTITY,)
    seconds: float = 3600
    header: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    secret: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    requests: list[dict[str, str]] = field(default_factory=list)
    issued: set[str] = field(default_factory=set, repr=False)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Handle one request."""
        return self._handle(Request(environ))(environ, start_response)

    def _handle(self, request: Request) -> Response:
        params = request.args.to_dict()
        self.requests.append(params)
        if request.headers.get("X-IDENTITY-HEADER") != self.header:
            return _json({"statusCode": 401, "message": "The X-IDENTITY-HEADER is missing or wrong."}, 401)
        resource, client = params.get("resource", "").rstrip("/"), params.get("client_id", "")
        if request.path != PATH or params.get("api-version") != VERSION or not resource:
            return _json({"statusCode": 400, "message": "The request does not follow the protocol."}, 400)
        if client not in self.clients:
            return _json({"statusCode": 400, "message": UNKNOWN}, 400)
        token = make_token(self.secret, client=client, resource=resource, seconds=self.seconds)
        self.issued.add(token)
        expires = int(time.time() + self.seconds)
        document = {"access_token": token, "expires_on": str(expires), "resource": resource, "token_type": "Bearer"}
        return _json({**document, "client_id": client})


def make_token(secret: str, *, client: str, resource: str, seconds: float) -> str:
    """Return a signed token; it expires by the monotonic clock, which the shared clock does not move."""
    claims = {
        "client": client,
        "resource": resource,
        "until": time.monotonic() + seconds,
        "nonce": secrets.token_hex(8),
    }
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode()
    return f"{body}.{_sign(secret, body)}"


def read_token(secret: str, token: str, *, resource: str) -> str | None:
    """Return the client of a token, or None if it is forged, expired or for another resource."""
    body, _, signature = token.partition(".")
    if not hmac.compare_digest(signature, _sign(secret, body)):
        return None
    claims = json.loads(base64.urlsafe_b64decode(body))
    valid = claims["resource"] == resource and time.monotonic() < claims["until"]
    return str(claims["client"]) if valid else None


@contextmanager
def serve_identity(endpoint: IdentityEndpoint) -> Iterator[dict[str, str]]:
    """Serve the endpoint on a free port and yield the environment variables by which azure-identity finds it."""
    server = make_server("127.0.0.1", 0, endpoint, threaded=True, request_handler=QuietHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}{PATH}"
        yield {"IDENTITY_ENDPOINT": address, "IDENTITY_HEADER": endpoint.header}
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _sign(secret: str, body: str) -> str:
    return hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()


def _json(document: Any, status: int = 200) -> Response:
    return Response(json.dumps(document), status, content_type="application/json")

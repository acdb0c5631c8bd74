"""The endpoint at which a Functions app gets its managed identities' tokens, in App Service's protocol, and the tokens.

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
# The system's own come without a client id; the template makes an identity that is the user's. The jobs have another.
IDENTITY = "11111111-1111-1111-1111-111111111111"
JOBS_IDENTITY = "22222222-2222-2222-2222-222222222222"
UNKNOWN = "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId."


@dataclass
class IdentityEndpoint:
    """The WSGI application. `clients` are the identities that the app has, `seconds` the life of their tokens."""

    clients: Collection[str] = (IDENTITY,)
    seconds: float = 3600
    header: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    secret: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    asked: list[dict[str, str]] = field(default_factory=list)
    given: set[str] = field(default_factory=set, repr=False)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        return self._answer(Request(environ))(environ, start_response)

    def _answer(self, request: Request) -> Response:
        asked = request.args.to_dict()
        self.asked.append(asked)
        if request.headers.get("X-IDENTITY-HEADER") != self.header:
            return _json({"statusCode": 401, "message": "The X-IDENTITY-HEADER is missing or wrong."}, 401)
        resource, client = asked.get("resource", "").rstrip("/"), asked.get("client_id", "")
        if request.path != PATH or asked.get("api-version") != VERSION or not resource:
            return _json({"statusCode": 400, "message": "The request is not of the protocol."}, 400)
        if client not in self.clients:
            return _json({"statusCode": 400, "message": UNKNOWN}, 400)
        token = make_token(self.secret, client=client, resource=resource, seconds=self.seconds)
        self.given.add(token)
        expires = int(time.time() + self.seconds)
        told = {"access_token": token, "expires_on": str(expires), "resource": resource, "token_type": "Bearer"}
        return _json({**told, "client_id": client})


def make_token(secret: str, *, client: str, resource: str, seconds: float) -> str:
    """A token that can be read by whoever knows the secret. Its end is by a clock that nobody moves."""
    facts = {"client": client, "resource": resource, "until": time.monotonic() + seconds, "once": secrets.token_hex(8)}
    body = base64.urlsafe_b64encode(json.dumps(facts).encode()).decode()
    return f"{body}.{_sign(secret, body)}"


def read_token(secret: str, token: str, *, resource: str) -> str | None:
    """Whose token it is; None for one that is not ours, for another resource, or over."""
    body, _, signature = token.partition(".")
    if not hmac.compare_digest(signature, _sign(secret, body)):
        return None
    facts = json.loads(base64.urlsafe_b64decode(body))
    good = facts["resource"] == resource and time.monotonic() < facts["until"]
    return str(facts["client"]) if good else None


@contextmanager
def serve_identity(endpoint: IdentityEndpoint) -> Iterator[dict[str, str]]:
    """Serve it on a free port; the environment in which azure-identity finds it."""
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

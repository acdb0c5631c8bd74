"""A Databricks workspace at its own address.

It accepts the tokens that the identity endpoint issued for it, and those of `admit`. `calls` records every call of the
Jobs API.
"""

import json
import re
import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from tests.local_cloud.azure.databricks.jobs_api import OPERATIONS, JobsApi
from tests.local_cloud.azure.databricks.validation import ApiError
from tests.local_cloud.azure.identity.managed_identity import IdentityEndpoint, read_token
from tests.local_cloud.common.faults import FaultKind, Faults
from tests.local_cloud.common.response_loss import QuietHandler, drop_connection

# Azure Databricks' own id in every Entra tenant.
RESOURCE = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d"
RETRY_AFTER = 1
_PATH = re.compile(r"/api/2\.[012]/(?P<operation>jobs/.+)")


@dataclass
class Workspace:
    """The WSGI application. `tokens` maps the tokens of `admit` to callers; `revoked` has the revoked ones."""

    api: JobsApi
    faults: Faults = field(default_factory=Faults)
    tokens: dict[str, str] = field(default_factory=dict)
    calls: list[dict[str, Any]] = field(default_factory=list)
    identity: IdentityEndpoint = field(default_factory=IdentityEndpoint)
    revoked: set[str] = field(default_factory=set)

    def admit(self, caller: str) -> str:
        """Issue a token for a caller."""
        token = f"local-{secrets.token_hex(16)}"
        self.tokens[token] = caller
        return token

    def expire_tokens(self) -> None:
        """Revoke all tokens that were issued so far."""
        self.tokens.clear()
        self.revoked |= self.identity.issued

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Handle one request."""
        request = Request(environ)
        try:
            response = self._handle(request, environ)
        except ApiError as error:
            response = _json({"error_code": error.code, "message": str(error)}, error.status)
            if error.retry_after is not None:
                response.headers["Retry-After"] = str(error.retry_after)
        return response(environ, start_response)

    def _handle(self, request: Request, environ: dict[str, Any]) -> Response:
        path = _PATH.fullmatch(request.path)
        operation = path["operation"] if path else ""
        if OPERATIONS.get(operation) != request.method:
            raise ApiError(404, "ENDPOINT_NOT_FOUND", f"No API found for '{request.method} {request.path}'")
        caller = self._read_caller(request)
        call = {"caller": caller, "operation": operation}
        self.calls.append(call)
        fault = self.faults.find(f"{caller} {operation}")
        if fault and fault != "lost":
            call["fault"] = fault
            raise _describe_fault(fault)
        params = request.args.to_dict() if request.method == "GET" else json.loads(request.get_data() or b"{}")
        result = self.api.handle(operation, params, caller=caller)
        if fault == "lost":
            call["fault"] = fault
            drop_connection(environ)
        return _json(result)

    def _read_caller(self, request: Request) -> str:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            raise ApiError(401, "401", "Credential was not sent or was of an unsupported type for this API.")
        caller = self.tokens.get(token) or read_token(self.identity.secret, token, resource=RESOURCE)
        if caller is None or token in self.revoked:
            raise _describe_fault("expired")
        return caller


@contextmanager
def serve_workspace(workspace: Workspace) -> Iterator[str]:
    """Serve the workspace on a free port and yield its address."""
    server = make_server("127.0.0.1", 0, workspace, threaded=True, request_handler=QuietHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        workspace.api.stop()


def _describe_fault(fault: FaultKind) -> ApiError:
    if fault == "throttled":
        message = "Current request has to be retried, because the rate limit is exceeded."
        return ApiError(429, "REQUEST_LIMIT_EXCEEDED", message, retry_after=RETRY_AFTER)
    if fault == "expired":
        return ApiError(403, "403", "Invalid access token.")
    if fault == "denied":
        return ApiError(403, "PERMISSION_DENIED", "User does not have permission to manage this job.")
    if fault == "quota":
        return ApiError(429, "QUOTA_EXCEEDED", "The workspace has too many jobs.", retry_after=RETRY_AFTER)
    message = "The service is temporarily unavailable."
    return ApiError(503, "TEMPORARILY_UNAVAILABLE", message, retry_after=RETRY_AFTER)


def _json(document: Any, status: int = 200) -> Response:
    return Response(json.dumps(document), status, content_type="application/json")

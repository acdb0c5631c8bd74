"""Serve all AWS services that the product uses at one local address.

moto serves S3, SQS and CloudWatch Logs, DynamoDB Local serves DynamoDB, and `emr/` serves EMR Serverless. The signature
of a request names its service and caller; `authorizer.py` decides on each call before it is served.

Runs as a separate process: it prints its address and serves until standard input ends. Arguments: the folder for the
log of calls and the jobs, the region, the account, and the address of DynamoDB, or - for none.
"""

import http.client
import json
import socket
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from tests.local_cloud.aws.admin_api import PREFIX, Admin
from tests.local_cloud.aws.emr.service import EmrServerless
from tests.local_cloud.aws.emr.spark_submit import SparkSubmitProgram
from tests.local_cloud.aws.iam.actions import Action, derive_actions
from tests.local_cloud.aws.iam.authorizer import ADMIN_KEY, Authorizer
from tests.local_cloud.aws.prefix_s3 import serve_by_prefix
from tests.local_cloud.aws.protocol.error_responses import ServiceError, denied, describe_fault, error_response
from tests.local_cloud.aws.protocol.request import AwsRequest, needs_body, read_signature
from tests.local_cloud.common.clock import sync_clock
from tests.local_cloud.common.faults import Faults
from tests.local_cloud.common.keep_alive import KeepAliveHandler
from tests.local_cloud.common.response_loss import drop_connection

CALLS = "calls.jsonl"
SWITCH_SECONDS = 0.0005
_HOP_BY_HOP = ("content-length", "transfer-encoding", "connection", "server", "date", "host")


@dataclass
class Cloud:
    """The WSGI application."""

    authorizer: Authorizer
    faults: Faults
    emr: EmrServerless
    dynamodb: str
    account: str

    def __post_init__(self) -> None:
        """Create the services."""
        self.admin = Admin(authorizer=self.authorizer, faults=self.faults, emr=self.emr)
        serve_by_prefix()
        # One backend per service: moto's own routing by host takes longer than most responses.
        self.moto = {
            "s3": create_backend_app("s3"),
            "sqs": create_backend_app("sqs"),
            "logs": create_backend_app("logs"),
        }

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Handle one request."""
        sync_clock()
        if environ["PATH_INFO"].startswith(PREFIX):
            return self.admin.handle(Request(environ))(environ, start_response)
        request = read_aws_request(environ)
        response = self._handle(request, environ)
        return response(environ, start_response)

    def _handle(self, request: AwsRequest, environ: dict[str, Any]) -> Response:
        if request.key == ADMIN_KEY:
            return self._serve(request, environ)
        actions = derive_actions(request, account=self.account)
        refused = self.authorizer.first_denied(request.key, actions)
        caller = self.authorizer.name(request.key) or request.key
        if refused:
            error = denied(request.service, principal=caller, action=refused.name, resource=refused.resource)
            return error_response(request.service, error)
        fault = self.faults.find(f"{caller} {actions[0].name} {actions[0].resource}")
        if fault and fault != "lost":
            return error_response(request.service, describe_fault(fault, request.service))
        response = self._serve(request, environ)
        if fault == "lost":
            drop_connection(environ)
        if response.status_code == 404 and actions[0].name == "s3:GetObject":
            return self._hide_missing(request, actions[0], response)
        return response

    def _serve(self, request: AwsRequest, environ: dict[str, Any]) -> Response:
        if request.service == "emr-serverless":
            return self.emr.handle(request)
        if request.service == "dynamodb":
            return self._forward(request)
        if request.service not in self.moto:
            return error_response(
                request.service, ServiceError(501, "NotImplemented", "the local AWS does not serve it")
            )
        return Response.from_app(self.moto[request.service], environ)

    def _forward(self, request: AwsRequest) -> Response:
        if not self.dynamodb:
            return error_response(
                "dynamodb", ServiceError(500, "InternalServerError", "the local AWS was started without DynamoDB")
            )
        server = http.client.HTTPConnection(urlsplit(self.dynamodb).netloc)
        forwarded = {name: value for name, value in request.headers.items() if name not in _HOP_BY_HOP}
        with suppress(OSError):
            server.request(request.method, "/", body=request.body, headers=forwarded)
            upstream = server.getresponse()
            headers = [(name, value) for name, value in upstream.getheaders() if name.lower() not in _HOP_BY_HOP]
            return Response(upstream.read(), upstream.status, headers)
        return error_response("dynamodb", describe_fault("unavailable", "dynamodb"))

    def _hide_missing(self, request: AwsRequest, action: Action, response: Response) -> Response:
        """Deny access to a missing object that the caller may not list as s3:prefix, as S3 does (ceph/ceph#68577)."""
        bucket, _, key = action.resource.partition("/")
        listing = Action(name="s3:ListBucket", resource=bucket, context={"s3:prefix": key})
        if self.authorizer.would_allow(request.key, listing):
            return response
        return error_response("s3", ServiceError(403, "AccessDenied", "Access Denied"))


def read_aws_request(environ: dict[str, Any]) -> AwsRequest:
    """Return the request of a WSGI environment, whose body stays readable."""
    headers = {name.lower(): value for name, value in Request(environ).headers.items()}
    key, region, service = read_signature(headers.get("authorization", ""))
    query = environ.get("QUERY_STRING", "")
    body = b""
    if needs_body(service, query):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = BytesIO(body)
    return AwsRequest(
        service=service,
        region=region,
        key=key,
        method=environ["REQUEST_METHOD"],
        path=environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace"),
        query=dict(parse_qsl(query, keep_blank_values=True)),
        headers=headers,
        body=body,
    )


class _Handler(KeepAliveHandler, MotoRequestHandler):
    """moto's request handler, over connections that stay open."""


def main() -> None:
    """Serve until standard input ends."""
    folder, region, account, dynamodb = sys.argv[1:]
    # The threads mostly wait for the GIL, so it changes hands often.
    sys.setswitchinterval(SWITCH_SECONDS)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        host, port = listening.getsockname()
        endpoint = f"http://{host}:{port}"
        authorizer = Authorizer(Path(folder) / CALLS)
        program = SparkSubmitProgram(folder=Path(folder) / "jobs", endpoint=endpoint, region=region)
        emr = EmrServerless(authorizer=authorizer, program=program, account=account, region=region)
        cloud = Cloud(authorizer=authorizer, faults=Faults(), emr=emr, dynamodb=dynamodb.strip("-"), account=account)
        server = make_server(host, port, cloud, threaded=True, request_handler=_Handler, fd=listening.fileno())
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(json.dumps({"endpoint": endpoint}), flush=True)
        sys.stdin.read()
        emr.stop()
        server.shutdown()


if __name__ == "__main__":
    main()

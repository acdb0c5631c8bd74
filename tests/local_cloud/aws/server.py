"""All services of AWS that the product uses, at one address on this machine.

moto has S3, SQS and CloudWatch Logs, DynamoDB Local has DynamoDB, and EMR Serverless is a stand-in of our own. The
service and the caller are those that a request's signature names; who may do what is decided first (`authorizer.py`).

A process of its own: prints its address and serves until its standard input ends. Arguments: a folder for the log of
calls and the jobs' own folders, the region, the account, and where DynamoDB is, or - for none.
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
from tests.local_cloud.aws.authorizer import ADMIN_KEY, Gate
from tests.local_cloud.aws.emr.service import EmrServerless
from tests.local_cloud.aws.emr.spark_submit import SparkSubmitProgram
from tests.local_cloud.aws.error_responses import Trouble, answer_trouble, denied, describe
from tests.local_cloud.aws.iam_actions import Action, name_actions
from tests.local_cloud.aws.request import AwsRequest, has_telling_body, read_signature
from tests.local_cloud.common.clock import keep_time
from tests.local_cloud.common.faults import Faults
from tests.local_cloud.common.response_loss import lose_answer

CALLS = "calls.jsonl"
SWITCH_SECONDS = 0.0005
_HOP_BY_HOP = ("content-length", "transfer-encoding", "connection", "server", "date", "host")


@dataclass
class Cloud:
    """The WSGI application."""

    gate: Gate
    faults: Faults
    emr: EmrServerless
    dynamodb: str
    account: str

    def __post_init__(self) -> None:
        """Make what has the state."""
        self.admin = Admin(gate=self.gate, faults=self.faults, emr=self.emr)
        # By service: moto's own choice by a request's host takes longer than most answers.
        self.moto = {
            "s3": create_backend_app("s3"),
            "sqs": create_backend_app("sqs"),
            "logs": create_backend_app("logs"),
        }

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        keep_time()
        if environ["PATH_INFO"].startswith(PREFIX):
            return self.admin.answer(Request(environ))(environ, start_response)
        request = read_aws_request(environ)
        answer = self._answer(request, environ)
        return answer(environ, start_response)

    def _answer(self, request: AwsRequest, environ: dict[str, Any]) -> Response:
        if request.key == ADMIN_KEY:
            return self._serve(request, environ)
        actions = name_actions(request, account=self.account)
        refused = self.gate.first_refused(request.key, actions)
        who = self.gate.name(request.key) or request.key
        if refused:
            told = denied(request.service, principal=who, action=refused.name, resource=refused.resource)
            return answer_trouble(request.service, told)
        trouble = self.faults.find(f"{who} {actions[0].name} {actions[0].resource}")
        if trouble and trouble != "lost":
            return answer_trouble(request.service, describe(trouble, request.service))
        answer = self._serve(request, environ)
        if trouble == "lost":
            lose_answer(environ)
        if answer.status_code == 404 and actions[0].name == "s3:GetObject":
            return self._missing(request, actions[0], answer)
        return answer

    def _serve(self, request: AwsRequest, environ: dict[str, Any]) -> Response:
        if request.service == "emr-serverless":
            return self.emr.answer(request)
        if request.service == "dynamodb":
            return self._forward(request)
        if request.service not in self.moto:
            return answer_trouble(request.service, Trouble(501, "NotImplemented", "there is no such service here"))
        return Response.from_app(self.moto[request.service], environ)

    def _forward(self, request: AwsRequest) -> Response:
        if not self.dynamodb:
            return answer_trouble("dynamodb", Trouble(500, "InternalServerError", "there is no DynamoDB here"))
        server = http.client.HTTPConnection(urlsplit(self.dynamodb).netloc)
        kept = {name: value for name, value in request.headers.items() if name not in _HOP_BY_HOP}
        with suppress(OSError):
            server.request(request.method, "/", body=request.body, headers=kept)
            told = server.getresponse()
            headers = [(name, value) for name, value in told.getheaders() if name.lower() not in _HOP_BY_HOP]
            return Response(told.read(), told.status, headers)
        return answer_trouble("dynamodb", describe("unavailable", "dynamodb"))

    def _missing(self, request: AwsRequest, action: Action, answer: Response) -> Response:
        """S3 says that an object is missing to those who may list it, by its key as s3:prefix (ceph/ceph#68577)."""
        bucket, _, key = action.resource.partition("/")
        listing = Action(name="s3:ListBucket", resource=bucket, context={"s3:prefix": key})
        if self.gate.would_allow(request.key, listing):
            return answer
        return answer_trouble("s3", Trouble(403, "AccessDenied", "Access Denied"))


def read_aws_request(environ: dict[str, Any]) -> AwsRequest:
    """The request of an environment, which can still be read by others."""
    headers = {name.lower(): value for name, value in Request(environ).headers.items()}
    key, region, service = read_signature(headers.get("authorization", ""))
    query = environ.get("QUERY_STRING", "")
    body = b""
    if has_telling_body(service, query):
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


class _QuietHandler(MotoRequestHandler):
    """Writes no line for each request."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def main() -> None:
    """Serve until the standard input ends."""
    folder, region, account, dynamodb = sys.argv[1:]
    # Threads here wait for each other's few lines of Python more than for anything else.
    sys.setswitchinterval(SWITCH_SECONDS)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        host, port = listening.getsockname()
        endpoint = f"http://{host}:{port}"
        gate = Gate(Path(folder) / CALLS)
        program = SparkSubmitProgram(folder=Path(folder) / "jobs", endpoint=endpoint, region=region)
        emr = EmrServerless(gate=gate, program=program, account=account, region=region)
        cloud = Cloud(gate=gate, faults=Faults(), emr=emr, dynamodb=dynamodb.strip("-"), account=account)
        server = make_server(host, port, cloud, threaded=True, request_handler=_QuietHandler, fd=listening.fileno())
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(json.dumps({"endpoint": endpoint}), flush=True)
        sys.stdin.read()
        emr.stop()
        server.shutdown()


if __name__ == "__main__":
    main()

"""Execute state machines by moto's interpreter of the Amazon States Language, against a deployed stack.

The interpreter calls all services at one port of localhost. A gateway there invokes the stack's functions, as Lambda
does, and passes every other request on to the local AWS.
"""

import http.client
import json
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from moto.stepfunctions.parser.models import stepfunctions_parser_backends
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from tests.local_cloud.aws.protocol.error_responses import denied, error_response
from tests.local_cloud.aws.stack import Stack

# The access key with which the interpreter signs its calls.
INTERPRETER_KEY = "ak"
_POLL_SECONDS = 0.2
_NOT_FORWARDED = ("host", "content-length", "transfer-encoding", "connection", "server", "date")


@dataclass(frozen=True, kw_only=True)
class Execution:
    """An execution that has ended: SUCCEEDED with its output, or FAILED or TIMED_OUT with error and cause."""

    status: str
    output: Any = None
    error: str = ""
    cause: str = ""


@dataclass(frozen=True)
class StateMachine:
    """A state machine of a stack."""

    stack: Stack
    arn: str

    def execute(self, document: Mapping[str, Any]) -> Execution:
        """Start an execution with this input, and return it once it has ended."""
        backend = stepfunctions_parser_backends[self.stack.aws.account][self.stack.aws.region]
        name = f"execution-{time.monotonic_ns()}"
        execution = backend.start_execution(self.arn, name, json.dumps(document))
        while execution.exec_status in (None, "RUNNING"):
            time.sleep(_POLL_SECONDS)
        return Execution(
            status=execution.exec_status.value,
            output=execution.output,
            error=execution.error or "",
            cause=execution.cause or "",
        )


@contextmanager
def create_state_machine(stack: Stack, definition: str, *, policies: Iterable[Any]) -> Iterator[StateMachine]:
    """Create a state machine whose role has these policies; only one can exist at a time."""
    stack.aws.register_principal(INTERPRETER_KEY, name="StateMachineRole", policies=list(policies))
    server = make_server("127.0.0.1", 0, _Gateway(stack), threaded=True, request_handler=_QuietHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    before = os.environ.get("MOTO_PORT")
    os.environ["MOTO_PORT"] = str(server.port)
    try:
        backend = stepfunctions_parser_backends[stack.aws.account][stack.aws.region]
        role = f"arn:aws:iam::{stack.aws.account}:role/StateMachineRole"
        yield StateMachine(stack, backend.create_state_machine("run-day", definition, role).arn)
    finally:
        os.environ.pop("MOTO_PORT") if before is None else os.environ.update(MOTO_PORT=before)
        server.shutdown()
        thread.join()


@dataclass(frozen=True)
class _Gateway:
    """The WSGI application."""

    stack: Stack

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        parts = request.path.split("/")
        is_invocation = parts[2:3] == ["functions"] and parts[4:5] == ["invocations"]
        answer = self._invoke(unquote(parts[3]), request) if is_invocation else self._forward(request)
        return answer(environ, start_response)

    def _invoke(self, name: str, request: Request) -> Response:
        (function,) = (each for each in self.stack.functions.values() if each.function.name == name)
        arn = function.function.arn
        if not self.stack.aws.check(INTERPRETER_KEY, action="lambda:InvokeFunction", resource=arn):
            refusal = denied("lambda", principal="StateMachineRole", action="lambda:InvokeFunction", resource=arn)
            return error_response("lambda", refusal)
        result = function.invoke(request.get_json(force=True))
        if result.error:
            body = {"errorType": result.error, "errorMessage": result.message}
            return Response(json.dumps(body), headers={"X-Amz-Function-Error": "Unhandled"})
        return Response(json.dumps(result.result))

    def _forward(self, request: Request) -> Response:
        client = http.client.HTTPConnection(urlsplit(self.stack.aws.endpoint).netloc)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _NOT_FORWARDED}
        client.request(request.method, request.full_path, body=request.get_data(), headers=headers)
        answer = client.getresponse()
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _NOT_FORWARDED]
        return Response(answer.read(), answer.status, kept)


class _QuietHandler(WSGIRequestHandler):
    """A request handler that logs nothing."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""

"""Azure Functions' Python worker, Microsoft's own library, in this process: what the host says to it, without a host.

It indexes an app as on Azure, refuses bindings that do not fit, decodes what a function is given and encodes what it
returns. The host's queues, clock, keys and its gRPC are not here, and one process has one app.
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.local_cloud.common.downloads import keep_once, run_or_explain

VERSION = "1.3.0"


class Message(SimpleNamespace):
    """A message of the worker's protocol; of alternatives it has the one that it was made with."""

    def WhichOneof(self, group: str) -> str | None:  # noqa: N802 - protobuf's name
        """The alternative that is set."""
        return "data" if group == "rpc_data" else next(iter(vars(self)), None)


class _Binding(Message):
    undefined, out, inout = 0, 1, 2


class _Status(Message):
    Success, Failure = "success", "failure"


class _Protocol:
    """Every kind of message that the worker makes."""

    BindingInfo = _Binding
    StatusResult = _Status

    def __getattr__(self, name: str) -> type[Message]:
        if name.startswith("_"):
            raise AttributeError(name)
        return Message


@dataclass(frozen=True, kw_only=True)
class Called:
    """What came of a call: outputs by binding, the answer to a request, or an error as the host writes it down."""

    outputs: Mapping[str, Any] = field(default_factory=dict)
    status: int | None = None
    answer: str = ""
    error: str | None = None
    trace: str = ""


@dataclass(frozen=True, kw_only=True)
class FunctionsWorker:
    """An app that was taken: its functions, each with its bindings as the host is told them."""

    functions: Mapping[str, list[dict[str, Any]]]
    ids: Mapping[str, str] = field(repr=False)

    def call(self, name: str, *, data: Message, metadata: Mapping[str, Message] | None = None) -> Called:
        """Call a function by its trigger.

        Args:
            name: the function.
            data: what the trigger brings (`timer`, `queue_message` and `http_request` below).
            metadata: what the host adds to a queue's message.
        """
        trigger = next(each["name"] for each in self.functions[name] if each["type"].endswith("Trigger"))
        asked = Message(
            invocation_id=f"{name}-1",
            function_id=self.ids[name],
            input_data=[Message(name=trigger, data=data)],
            trigger_metadata=dict(metadata or {}),
            trace_context=Message(trace_parent="", trace_state="", attributes={}),
            retry_context=Message(retry_count=0, max_retry_count=0, exception=None),
        )
        answer = asyncio.run(_library().invocation_request(Message(request=Message(invocation_request=asked))))
        if answer.result.status != _Status.Success:
            return Called(error=answer.result.exception.message, trace=answer.result.exception.stack_trace)
        outputs = {each.name: _read(each.data) for each in answer.output_data}
        if answer.return_value is None:
            return Called(outputs=outputs)
        http = answer.return_value.http
        return Called(outputs=outputs, status=int(http.status_code), answer=_read(http.body))


def take_app(folder: Path) -> FunctionsWorker:
    """Index the app of a folder, as the worker does when it starts.

    Raises:
        ValueError: the worker refuses it.
    """
    sys.path.insert(0, str(folder))
    try:
        start = Message(capabilities={}, function_app_directory=str(folder))
        properties = {"host": "127.0.0.1", "protos": _Protocol()}
        asked = Message(request=Message(worker_init_request=start), properties=properties)
        taken = asyncio.run(_library().worker_init_request(asked))
        if taken.result.status != _Status.Success:
            raise ValueError(taken.result.exception.message)
        told = asyncio.run(_library().functions_metadata_request(asked)).function_metadata_results
    finally:
        sys.path.remove(str(folder))
    functions = {each.name: [json.loads(binding) for binding in each.raw_bindings] for each in told}
    return FunctionsWorker(functions=functions, ids={each.name: each.function_id for each in told})


def timer(*, next_: str = "", past_due: bool = False) -> Message:
    """A timer's call. `next_` is the moment that it is for."""
    status = {"Last": "0001-01-01T00:00:00+00:00", "Next": next_, "LastUpdated": "0001-01-01T00:00:00+00:00"}
    return Message(
        json=json.dumps({"IsPastDue": past_due, "ScheduleStatus": status, "Schedule": {"AdjustForDST": True}})
    )


def queue_message(body: str, *, inserted: str, dequeued: int = 1) -> tuple[Message, dict[str, Message]]:
    """A message of a queue, and what the host says of it."""
    metadata = {"Id": Message(string="message-1"), "DequeueCount": Message(string=str(dequeued))}
    return Message(string=body), {**metadata, "InsertionTime": Message(string=inserted)}


def http_request(body: bytes, *, method: str = "POST") -> Message:
    """A request, once the host has found its key right."""
    url = "https://localhost/api/start"
    asked = {"method": method, "url": url, "headers": {}, "params": {}, "query": {}, "body": Message(bytes=body)}
    return Message(http=Message(**asked))


def _read(data: Message) -> Any:
    """The value of typed data; JSON is read."""
    kind, value = next(iter(vars(data).items()))
    if kind == "json":
        return json.loads(value)
    return value.decode() if kind == "bytes" else value


def _library() -> Any:
    folder = str(keep_once(f"azure-functions-runtime-{VERSION}", _install))
    if folder not in sys.path:
        sys.path.append(folder)
    return import_module("azure_functions_runtime")


def _install(folder: Path) -> None:
    # It asks for Python 3.13, which it does not need; azure-functions, which it needs, is ours.
    options = ("--disable-pip-version-check", "--no-deps", "--ignore-requires-python", "--target", str(folder))
    run_or_explain(sys.executable, "-m", "pip", "install", *options, f"azure-functions-runtime=={VERSION}")

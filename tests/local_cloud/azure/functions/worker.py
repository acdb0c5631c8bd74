"""Drive Microsoft's Python worker library for Azure Functions in this process, without a host.

As on Azure, it indexes an app, refuses bindings that do not fit, decodes a function's input and encodes its output. The
host's queues, timers, keys and gRPC are absent, and a process has one app.
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

from tests.local_cloud.common.downloads import cached_folder, run_download

VERSION = "1.3.0"


class Message(SimpleNamespace):
    """A message of the worker's protocol; of a oneof it has the field that it was created with."""

    def WhichOneof(self, group: str) -> str | None:  # noqa: N802 - protobuf's name
        """Return the field that is set."""
        return "data" if group == "rpc_data" else next(iter(vars(self)), None)


class _Binding(Message):
    undefined, out, inout = 0, 1, 2


class _Status(Message):
    Success, Failure = "success", "failure"


class _Protocol:
    """All message types that the worker creates."""

    BindingInfo = _Binding
    StatusResult = _Status

    def __getattr__(self, name: str) -> type[Message]:
        if name.startswith("_"):
            raise AttributeError(name)
        return Message


@dataclass(frozen=True, kw_only=True)
class CallResult:
    """Result of a call: outputs by binding, the HTTP response, or an error as the host logs it."""

    outputs: Mapping[str, Any] = field(default_factory=dict)
    status: int | None = None
    answer: str = ""
    error: str | None = None
    trace: str = ""


@dataclass(frozen=True, kw_only=True)
class FunctionsWorker:
    """An indexed app: its functions, each with the bindings that the host receives."""

    functions: Mapping[str, list[dict[str, Any]]]
    ids: Mapping[str, str] = field(repr=False)

    def call(self, name: str, *, data: Message, metadata: Mapping[str, Message] | None = None) -> CallResult:
        """Call a function by its trigger.

        Args:
            name: the function.
            data: the trigger's data, from `timer`, `queue_message` or `http_request`.
            metadata: the host's metadata of a queue message.
        """
        trigger = next(each["name"] for each in self.functions[name] if each["type"].endswith("Trigger"))
        request = Message(
            invocation_id=f"{name}-1",
            function_id=self.ids[name],
            input_data=[Message(name=trigger, data=data)],
            trigger_metadata=dict(metadata or {}),
            trace_context=Message(trace_parent="", trace_state="", attributes={}),
            retry_context=Message(retry_count=0, max_retry_count=0, exception=None),
        )
        answer = asyncio.run(_library().invocation_request(Message(request=Message(invocation_request=request))))
        if answer.result.status != _Status.Success:
            return CallResult(error=answer.result.exception.message, trace=answer.result.exception.stack_trace)
        outputs = {each.name: _read(each.data) for each in answer.output_data}
        if answer.return_value is None:
            return CallResult(outputs=outputs)
        http = answer.return_value.http
        return CallResult(outputs=outputs, status=int(http.status_code), answer=_read(http.body))


def take_app(folder: Path) -> FunctionsWorker:
    """Index the app of a folder, as the worker does at its start.

    Raises:
        ValueError: the worker refuses it.
    """
    sys.path.insert(0, str(folder))
    try:
        start = Message(capabilities={}, function_app_directory=str(folder))
        properties = {"host": "127.0.0.1", "protos": _Protocol()}
        request = Message(request=Message(worker_init_request=start), properties=properties)
        started = asyncio.run(_library().worker_init_request(request))
        if started.result.status != _Status.Success:
            raise ValueError(started.result.exception.message)
        found = asyncio.run(_library().functions_metadata_request(request)).function_metadata_results
    finally:
        sys.path.remove(str(folder))
    functions = {each.name: [json.loads(binding) for binding in each.raw_bindings] for each in found}
    return FunctionsWorker(functions=functions, ids={each.name: each.function_id for each in found})


def timer(*, next_: str = "", past_due: bool = False) -> Message:
    """Return the data of a timer trigger; `next_` is the scheduled time."""
    status = {"Last": "0001-01-01T00:00:00+00:00", "Next": next_, "LastUpdated": "0001-01-01T00:00:00+00:00"}
    return Message(
        json=json.dumps({"IsPastDue": past_due, "ScheduleStatus": status, "Schedule": {"AdjustForDST": True}})
    )


def queue_message(body: str, *, inserted: str, dequeued: int = 1) -> tuple[Message, dict[str, Message]]:
    """Return the data of a queue message and the host's metadata."""
    metadata = {"Id": Message(string="message-1"), "DequeueCount": Message(string=str(dequeued))}
    return Message(string=body), {**metadata, "InsertionTime": Message(string=inserted)}


def http_request(body: bytes, *, method: str = "POST") -> Message:
    """Return the data of an HTTP request, after the host has checked its key."""
    url = "https://localhost/api/start"
    request = {"method": method, "url": url, "headers": {}, "params": {}, "query": {}, "body": Message(bytes=body)}
    return Message(http=Message(**request))


def _read(data: Message) -> Any:
    """Return the value of typed data; JSON is parsed."""
    kind, value = next(iter(vars(data).items()))
    if kind == "json":
        return json.loads(value)
    return value.decode() if kind == "bytes" else value


def install() -> Path:
    """Download the worker library once, and return its folder."""
    return cached_folder(f"azure-functions-runtime-{VERSION}", _install)


def _library() -> Any:
    folder = str(install())
    if folder not in sys.path:
        sys.path.append(folder)
    return import_module("azure_functions_runtime")


def _install(folder: Path) -> None:
    # It requires Python 3.13, which it does not need; its dependency azure-functions is already installed.
    options = ("--disable-pip-version-check", "--no-deps", "--ignore-requires-python", "--target", str(folder))
    run_download(sys.executable, "-m", "pip", "install", *options, f"azure-functions-runtime=={VERSION}")

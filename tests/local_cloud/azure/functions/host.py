"""A Functions host: it calls an app's functions by timer, HTTP request and queue, and delivers their output.

Each instance is a process with exactly the app settings, and handles one call at a time.
"""

import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import QueueClient, QueueMessage, TextBase64DecodePolicy, TextBase64EncodePolicy

from tests.local_cloud.azure.storage.azurite import Azurite
from tests.local_cloud.common.clock import to_shared_time
from tests.local_cloud.common.downloads import ROOT
from tests.local_cloud.common.log_tail import LogTail
from tests.local_cloud.common.runtime_process import RuntimeProcess

APP = ROOT / "azure_trigger"
POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class CallResult:
    """Result of a call: the HTTP response, an error message, the number of queued messages, and the logged lines."""

    status: int | None = None
    answer: str = ""
    error: str | None = None
    queued: int = 0
    lines: tuple[dict[str, Any], ...] = ()
    seconds: float = 0.0


@dataclass(kw_only=True)
class FunctionsHost:
    """Host the app of a folder, with its host.json.

    Attributes:
        settings: the app settings.
        visibility: seconds until a failed message is visible again, instead of host.json's.
        on_message: called after each message that was delivered to a function.
        on_call: called after each call of a function, with its name.
        in_flight: the number of calls in flight.
    """

    storage: Azurite
    settings: Mapping[str, str]
    folder: Path
    app: Path = APP
    visibility: int | None = None
    concurrency: int = 1
    on_message: Callable[[str, CallResult], None] = lambda body, result: None
    on_call: Callable[[str, CallResult], None] = lambda name, result: None
    in_flight: int = 0
    _version: int = 0
    _idle: list["_Instance"] = field(default_factory=list, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _stopped: threading.Event = field(default_factory=threading.Event, repr=False)
    _threads: list[threading.Thread] = field(default_factory=list, repr=False)
    _failed: list[tuple[QueueClient, QueueMessage]] = field(default_factory=list, repr=False)
    _queued_at: dict[str, datetime] = field(default_factory=dict, repr=False)

    @cached_property
    def host(self) -> Mapping[str, Any]:
        """The app's host.json."""
        document: Mapping[str, Any] = json.loads((self.app / "host.json").read_text())
        return document

    @cached_property
    def functions(self) -> Mapping[str, list[dict[str, Any]]]:
        """The bindings of each function."""
        instance = self._acquire()
        functions: Mapping[str, list[dict[str, Any]]] = json.loads(instance.process.call(None, 60) or b"{}")
        self._release(instance)
        return functions

    def call_timer(self, name: str, *, due: str = "") -> CallResult:
        """Fire a timer for a scheduled time (ISO 8601)."""
        return self._call(name, {"kind": "timer", "next": due})

    def post(self, name: str, body: str) -> CallResult:
        """Send an HTTP request with a valid function key."""
        return self._call(name, {"kind": "http", "body": body})

    def start(self) -> "FunctionsHost":
        """Start delivering messages to queue-triggered functions."""
        self._stopped.clear()
        for name, binding in self._triggers():
            for _ in range(self.concurrency):
                thread = threading.Thread(target=self._poll, args=(name, binding["queueName"]), daemon=True)
                self._threads.append(thread)
                thread.start()
        return self

    def stop(self) -> None:
        """Stop after the calls in flight have ended."""
        self.pause()
        self.recycle()

    def pause(self) -> None:
        """Stop delivering messages and wait for the calls in flight."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def recycle(self) -> None:
        """Stop all instances, those in use after their call; new instances have the current settings."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._version += 1
        for instance in idle:
            instance.process.stop()

    def release_failed(self) -> None:
        """Make failed messages visible at once; the queue does not follow the shared clock."""
        with self._lock:
            failed, self._failed = self._failed, []
        for queue, message in failed:
            with suppress(ResourceNotFoundError):  # it was delivered already
                queue.update_message(message, visibility_timeout=0)

    def queue(self, name: str) -> QueueClient:
        """Return a queue of the app's storage, which is created if it is missing."""
        client = self.storage.queues().get_queue_client(
            name, message_encode_policy=TextBase64EncodePolicy(), message_decode_policy=TextBase64DecodePolicy()
        )
        with suppress(ResourceExistsError):
            client.create_queue()
        return client

    def deliver(self, name: str, queue: QueueClient) -> bool:
        """Deliver the next message of a queue to its function; return whether there was one."""
        message = queue.receive_message(visibility_timeout=int(self._limit) + 60)
        if message is None:
            return False
        call = {"kind": "queue", "body": message.content, "dequeued": message.dequeue_count}
        result = self._call(name, {**call, "inserted": self._inserted(message).isoformat()})
        if result.error is None:
            queue.delete_message(message)
        else:
            self._return_message(queue, message)
        self.on_message(message.content, result)
        return True

    def _inserted(self, message: QueueMessage) -> datetime:
        """Return when a message was queued, in shared time; the queue itself uses the machine's time."""
        fallback = to_shared_time(message.inserted_on) if message.inserted_on else datetime.now(UTC)
        return self._queued_at.get(message.id, fallback)

    def _poll(self, name: str, queue_name: str) -> None:
        queue = self.queue(queue_name)
        while not self._stopped.is_set():
            if not self.deliver(name, queue):
                self._stopped.wait(POLL_SECONDS)

    def _return_message(self, queue: QueueClient, message: QueueMessage) -> None:
        """Return a failed message to its queue or, after too many attempts, move it to the poison queue."""
        settings = self.host["extensions"]["queues"]
        if (message.dequeue_count or 0) >= settings["maxDequeueCount"]:
            self.queue(f"{queue.queue_name}-poison").send_message(message.content)
            queue.delete_message(message)
            return
        seconds = _seconds(settings["visibilityTimeout"]) if self.visibility is None else self.visibility
        hidden = queue.update_message(message, visibility_timeout=seconds)
        with self._lock:
            self._failed.append((queue, hidden))

    def _call(self, name: str, call: Mapping[str, Any]) -> CallResult:
        bindings = self.functions[name]
        with self._lock:
            self.in_flight += 1
        result = self._call_instance(name, call, bindings)
        with self._lock:
            self.in_flight -= 1
        self.on_call(name, result)
        return result

    def _call_instance(self, name: str, call: Mapping[str, Any], bindings: list[dict[str, Any]]) -> CallResult:
        instance = self._acquire()
        started = time.monotonic()
        response = instance.process.call({"name": name, **call}, self._limit)
        seconds = time.monotonic() - started
        lines = instance.read_lines()
        if not response:
            instance.process.stop()
            error = "the function was killed" if response is None else "the process ended"
            return CallResult(error=error, lines=lines, seconds=seconds)
        self._release(instance)
        answer = json.loads(response)
        outputs = {each["name"]: each["queueName"] for each in bindings if each["type"] == "queue"}
        queued = sum(self._enqueue(queue, answer["outputs"].get(name)) for name, queue in outputs.items())
        fields = {name: answer[name] for name in ("status", "answer", "error")}
        return CallResult(**fields, queued=queued, lines=lines, seconds=seconds)

    def _enqueue(self, queue: str, value: Any) -> int:
        messages = value if isinstance(value, list) else [] if value is None else [value]
        for each in messages:
            sent = self.queue(queue).send_message(each if isinstance(each, str) else json.dumps(each))
            self._queued_at[sent.id] = datetime.now(UTC)
        return len(messages)

    def _triggers(self) -> list[tuple[str, dict[str, Any]]]:
        return [
            (name, binding)
            for name, bindings in self.functions.items()
            for binding in bindings
            if binding["type"] == "queueTrigger"
        ]

    @property
    def _limit(self) -> float:
        return float(_seconds(self.host["functionTimeout"]))

    def _acquire(self) -> "_Instance":
        with self._lock:
            instance = self._idle.pop() if self._idle else None
        return instance or _Instance(self)

    def _release(self, instance: "_Instance") -> None:
        with self._lock:
            current = instance.version == self._version
            if current:
                self._idle.append(instance)
        if not current:
            instance.process.stop()


class _Instance:
    """A process of the app; its output goes to a file below the host's folder."""

    def __init__(self, host: FunctionsHost) -> None:
        folder = host.folder / uuid.uuid4().hex
        (folder / "tmp").mkdir(parents=True)
        variables = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
        variables["WEBSITE_SKU"] = "FlexConsumption"
        settings = {**variables, **host.settings, "TMPDIR": str(folder / "tmp"), "HOME": str(folder)}
        self._log, self.version = LogTail(folder / "log"), host._version
        self.process = RuntimeProcess(
            "tests.local_cloud.azure.functions.runtime", str(host.app), env=settings, log=self._log.file
        )

    def read_lines(self) -> tuple[dict[str, Any], ...]:
        """Return the JSON lines that were logged since the last call."""
        return tuple(json.loads(line) for line in self._log.read_lines() if line.startswith("{"))


def _seconds(text: str) -> int:
    hours, minutes, seconds = map(int, text.split(":"))
    return hours * 3600 + minutes * 60 + seconds

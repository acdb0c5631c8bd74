"""A Functions host on this machine: it calls an app's functions by timer, request and queue, and keeps their output.

Each instance is a process with the app settings and nothing else, and one call at a time.
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

from tests.local_cloud.azure.azurite import Azurite
from tests.local_cloud.common.clock import as_shared
from tests.local_cloud.common.downloads import ROOT
from tests.local_cloud.common.runtime_process import RuntimeProcess

APP = ROOT / "azure_trigger"
LOOK_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Called:
    """What came of a call: the answer to a request, an error's words, messages put out, and the lines logged."""

    status: int | None = None
    answer: str = ""
    error: str | None = None
    queued: int = 0
    lines: tuple[dict[str, Any], ...] = ()
    seconds: float = 0.0


@dataclass(kw_only=True)
class FunctionsHost:
    """Hosts the app of a folder, with its host.json.

    Attributes:
        settings: the app's.
        visibility: seconds until a message that failed comes again, instead of what host.json says.
        told: learns of each message that a function has been given.
        called: learns of each call of a function, by its name.
        at_work: how many calls have no answer yet.
    """

    storage: Azurite
    settings: Mapping[str, str]
    folder: Path
    app: Path = APP
    visibility: int | None = None
    concurrency: int = 1
    told: Callable[[str, Called], None] = lambda body, called: None
    called: Callable[[str, Called], None] = lambda name, called: None
    at_work: int = 0
    _version: int = 0
    _idle: list["_Instance"] = field(default_factory=list, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _over: threading.Event = field(default_factory=threading.Event, repr=False)
    _threads: list[threading.Thread] = field(default_factory=list, repr=False)
    _put_back: list[tuple[QueueClient, QueueMessage]] = field(default_factory=list, repr=False)
    _put_out_at: dict[str, datetime] = field(default_factory=dict, repr=False)

    @cached_property
    def host(self) -> Mapping[str, Any]:
        """The app's host.json."""
        document: Mapping[str, Any] = json.loads((self.app / "host.json").read_text())
        return document

    @cached_property
    def functions(self) -> Mapping[str, list[dict[str, Any]]]:
        """The bindings of each function."""
        instance = self._take()
        functions: Mapping[str, list[dict[str, Any]]] = json.loads(instance.process.ask(None, 60) or b"{}")
        self._give_back(instance)
        return functions

    def call_timer(self, name: str, *, due: str = "") -> Called:
        """Let a timer call its function, as for a moment (ISO 8601)."""
        return self._call(name, {"kind": "timer", "next": due})

    def post(self, name: str, body: str) -> Called:
        """A request of somebody whose key is right."""
        return self._call(name, {"kind": "http", "body": body})

    def start(self) -> "FunctionsHost":
        """Begin to give messages to the functions of queues."""
        self._over.clear()
        for name, binding in self._triggers():
            for _ in range(self.concurrency):
                thread = threading.Thread(target=self._poll, args=(name, binding["queueName"]), daemon=True)
                self._threads.append(thread)
                thread.start()
        return self

    def stop(self) -> None:
        """End when what is under way has ended."""
        self.rest()
        self.retire()

    def rest(self) -> None:
        """Give out no more messages; over when what is under way has ended."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def retire(self) -> None:
        """End all instances, those at work when they have answered; new ones have the settings of then."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._version += 1
        for instance in idle:
            instance.process.stop()

    def bring_back(self) -> None:
        """Let messages that failed come again at once, as when their time has come by a clock that the queue lacks."""
        with self._lock:
            waiting, self._put_back = self._put_back, []
        for queue, message in waiting:
            with suppress(ResourceNotFoundError):  # it has come already
                queue.update_message(message, visibility_timeout=0)

    def queue(self, name: str) -> QueueClient:
        """A queue of the app's storage, which is made if it is missing."""
        client = self.storage.queues().get_queue_client(
            name, message_encode_policy=TextBase64EncodePolicy(), message_decode_policy=TextBase64DecodePolicy()
        )
        with suppress(ResourceExistsError):
            client.create_queue()
        return client

    def deliver(self, name: str, queue: QueueClient) -> bool:
        """Give a function the next message of its queue; whether there was one."""
        message = queue.receive_message(visibility_timeout=int(self._limit) + 60)
        if message is None:
            return False
        call = {"kind": "queue", "body": message.content, "dequeued": message.dequeue_count}
        called = self._call(name, {**call, "inserted": self._inserted(message).isoformat()})
        if called.error is None:
            queue.delete_message(message)
        else:
            self._return(queue, message)
        self.told(message.content, called)
        return True

    def _inserted(self, message: QueueMessage) -> datetime:
        """When a message was put out by the time that is shared; the queue keeps the machine's."""
        own = as_shared(message.inserted_on) if message.inserted_on else datetime.now(UTC)
        return self._put_out_at.get(message.id, own)

    def _poll(self, name: str, queue_name: str) -> None:
        queue = self.queue(queue_name)
        while not self._over.is_set():
            if not self.deliver(name, queue):
                self._over.wait(LOOK_SECONDS)

    def _return(self, queue: QueueClient, message: QueueMessage) -> None:
        """As the host does: it comes again, or is poison."""
        settings = self.host["extensions"]["queues"]
        if (message.dequeue_count or 0) >= settings["maxDequeueCount"]:
            self.queue(f"{queue.queue_name}-poison").send_message(message.content)
            queue.delete_message(message)
            return
        seconds = _seconds(settings["visibilityTimeout"]) if self.visibility is None else self.visibility
        hidden = queue.update_message(message, visibility_timeout=seconds)
        with self._lock:
            self._put_back.append((queue, hidden))

    def _call(self, name: str, call: Mapping[str, Any]) -> Called:
        bindings = self.functions[name]
        with self._lock:
            self.at_work += 1
        called = self._answer(name, call, bindings)
        with self._lock:
            self.at_work -= 1
        self.called(name, called)
        return called

    def _answer(self, name: str, call: Mapping[str, Any], bindings: list[dict[str, Any]]) -> Called:
        instance = self._take()
        began = time.monotonic()
        told = instance.process.ask({"name": name, **call}, self._limit)
        seconds = time.monotonic() - began
        lines = instance.read_lines()
        if not told:
            instance.process.stop()
            error = "the function was killed" if told is None else "the process ended"
            return Called(error=error, lines=lines, seconds=seconds)
        self._give_back(instance)
        answer = json.loads(told)
        outputs = {each["name"]: each["queueName"] for each in bindings if each["type"] == "queue"}
        queued = sum(self._put_out(queue, answer["outputs"].get(name)) for name, queue in outputs.items())
        known = {name: answer[name] for name in ("status", "answer", "error")}
        return Called(**known, queued=queued, lines=lines, seconds=seconds)

    def _put_out(self, queue: str, value: Any) -> int:
        messages = value if isinstance(value, list) else [] if value is None else [value]
        for each in messages:
            sent = self.queue(queue).send_message(each if isinstance(each, str) else json.dumps(each))
            self._put_out_at[sent.id] = datetime.now(UTC)
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

    def _take(self) -> "_Instance":
        with self._lock:
            instance = self._idle.pop() if self._idle else None
        return instance or _Instance(self)

    def _give_back(self, instance: "_Instance") -> None:
        with self._lock:
            stays = instance.version == self._version
            if stays:
                self._idle.append(instance)
        if not stays:
            instance.process.stop()


class _Instance:
    """A process of the app; what it logs is in a file below the host's folder."""

    def __init__(self, host: FunctionsHost) -> None:
        place = host.folder / uuid.uuid4().hex
        (place / "tmp").mkdir(parents=True)
        own = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
        own["WEBSITE_SKU"] = "FlexConsumption"
        settings = {**own, **host.settings, "TMPDIR": str(place / "tmp"), "HOME": str(place)}
        self._log, self._told, self.version = place / "log", 0, host._version
        self.process = RuntimeProcess(
            "tests.local_cloud.azure.functions.runtime", str(host.app), env=settings, log=self._log
        )

    def read_lines(self) -> tuple[dict[str, Any], ...]:
        """The JSON lines that it has logged since the last time."""
        text = self._log.read_text(errors="replace")
        new, self._told = text[self._told :], len(text)
        return tuple(json.loads(line) for line in new.splitlines() if line.startswith("{"))


def _seconds(text: str) -> int:
    hours, minutes, seconds = map(int, text.split(":"))
    return hours * 3600 + minutes * 60 + seconds

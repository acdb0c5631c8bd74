"""Fault injection: which calls fail, how, and how often."""

import re
import threading
from dataclasses import dataclass
from typing import Literal, get_args

# lost: the call is executed and its response dropped. quota: EMR Serverless' own 402. expired: the caller's token.
FaultKind = Literal["throttled", "unavailable", "denied", "quota", "expired", "lost"]
FAULT_KINDS = get_args(FaultKind)


@dataclass
class Fault:
    """A fault of every `every`-th call whose `principal action resource` matches a pattern.

    It fails `times` calls; 0 means until the fault is replaced.
    """

    kind: FaultKind
    pattern: str = ""
    times: int = 0
    every: int = 1
    matched: int = 0

    def __post_init__(self) -> None:
        """Reject an unknown kind or an invalid pattern."""
        if self.kind not in FAULT_KINDS:
            raise ValueError(f"{self.kind!a} is not one of {', '.join(FAULT_KINDS)}")
        re.compile(self.pattern)

    def applies_to(self, call: str) -> bool:
        """Count a call and return whether it fails."""
        if re.search(self.pattern, call) is None:
            return False
        self.matched += 1
        failures, remainder = divmod(self.matched, self.every)
        return remainder == 0 and (self.times == 0 or failures <= self.times)


class Faults:
    """The faults that are injected now. Thread-safe."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def replace_all(self, faults: list[Fault]) -> None:
        """Replace all faults."""
        with self._lock:
            self._faults = faults

    def find(self, call: str) -> FaultKind | None:
        """Return the kind of the first fault that applies to a call."""
        with self._lock:
            return next((fault.kind for fault in self._faults if fault.applies_to(call)), None)

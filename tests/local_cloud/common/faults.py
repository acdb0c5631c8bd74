"""Trouble that is switched on: which calls fail, how, and how often."""

import re
import threading
from dataclasses import dataclass
from typing import Literal, get_args

# lost: the call is done and its answer is not given. quota: EMR Serverless' own 402. expired: the caller's token.
Kind = Literal["throttled", "unavailable", "denied", "quota", "expired", "lost"]
KINDS = get_args(Kind)


@dataclass
class Fault:
    """One kind of trouble for calls whose `principal action resource` holds a pattern.

    Every `every`-th of them, and so often as `times` says; 0: until it is switched off.
    """

    kind: Kind
    pattern: str = ""
    times: int = 0
    every: int = 1
    met: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no trouble, or no pattern."""
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!a} is none of {', '.join(KINDS)}")
        re.compile(self.pattern)

    def strikes(self, call: str) -> bool:
        """Whether it is this call's turn."""
        if re.search(self.pattern, call) is None:
            return False
        self.met += 1
        struck, turn = divmod(self.met, self.every)
        return turn == 0 and (self.times == 0 or struck <= self.times)


class Faults:
    """The trouble of now; threads may share it."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def switch_on(self, faults: list[Fault]) -> None:
        """Have these instead of those before."""
        with self._lock:
            self._faults = faults

    def find(self, call: str) -> Kind | None:
        """The trouble of a call: the first that strikes it."""
        with self._lock:
            return next((fault.kind for fault in self._faults if fault.strikes(call)), None)

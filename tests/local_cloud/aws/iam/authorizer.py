"""Authorize each call by the policies of its principal, and log the decision."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

from tests.local_cloud.aws.iam.actions import Action
from tests.local_cloud.aws.iam.policies import Decision, decide

# It may do everything, and its calls are not logged.
ADMIN_KEY = "AKIALOCALADMIN"
SECRET = "local-secret"
_UNKNOWN_PRINCIPAL = Decision(allowed=False, sid="", why="no statement allows it")


@dataclass(frozen=True, kw_only=True)
class Principal:
    """A role, or a session of it. `session` has its session policies, None if there are none."""

    name: str
    arn: str
    policies: tuple[Any, ...]
    session: tuple[Any, ...] | None = None
    trust: Any = None


@dataclass
class Authorizer:
    """Decide on calls and append each to a JSON Lines log: principal, action, resource, allowed, sid, why.

    Thread-safe.
    """

    log: Path
    principals: dict[str, Principal] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @cached_property
    def _open_log(self) -> TextIO:
        """The log, opened once; each line is written at once."""
        return self.log.open("a", encoding="utf-8", buffering=1)

    def register(self, key: str, principal: Principal) -> None:
        """Assign an access key to a principal."""
        with self.lock:
            self.principals[key] = principal

    def find_role(self, arn: str) -> Principal | None:
        """Return the role with an ARN."""
        with self.lock:
            return next((each for each in self.principals.values() if each.arn == arn and each.session is None), None)

    def name(self, key: str) -> str:
        """Return the name of the principal of an access key, or an empty string."""
        principal = self.principals.get(key)
        return principal.name if principal else ""

    def first_denied(self, key: str, actions: Sequence[Action]) -> Action | None:
        """Decide on all actions of a call, log each decision, and return the first action that is denied."""
        refused = [action for action in actions if not self._decide(key, action)]
        return refused[0] if refused else None

    def would_allow(self, key: str, action: Action) -> bool:
        """Decide without a log entry, for checks that a service makes itself."""
        return self._evaluate(key, action).allowed

    def _evaluate(self, key: str, action: Action) -> Decision:
        principal = self.principals.get(key)
        if principal is None:
            return _UNKNOWN_PRINCIPAL
        return decide(
            principal.policies,
            action=action.name,
            resource=action.resource,
            context=action.context,
            session=principal.session,
        )

    def _decide(self, key: str, action: Action) -> bool:
        decision = self._evaluate(key, action)
        call = {
            "principal": self.name(key) or key,
            "action": action.name,
            "resource": action.resource,
            "context": action.context,
            "allowed": decision.allowed,
            "sid": decision.sid,
            "why": decision.why,
        }
        with self.lock:
            self._open_log.write(json.dumps(call) + "\n")
        return decision.allowed

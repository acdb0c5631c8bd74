"""Who may do what: each call is decided by its principal's policies, and written down."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.local_cloud.aws.iam import Decision, decide
from tests.local_cloud.aws.iam_actions import Action

# Whoever signs with it may do everything, and leaves no trace.
ADMIN_KEY = "AKIALOCALADMIN"
SECRET = "local-secret"
_NOBODY = Decision(allowed=False, sid="", why="no statement allows it")


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Who calls: a role, or a session of it that `session` bounds (None: nothing does)."""

    name: str
    arn: str
    policies: tuple[Any, ...]
    session: tuple[Any, ...] | None = None
    trust: Any = None


@dataclass
class Gate:
    """Decides on calls and appends each to a log of JSON lines: principal, action, resource, allowed, sid, why.

    Threads may share it.
    """

    log: Path
    principals: dict[str, Principal] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def admit(self, key: str, principal: Principal) -> None:
        """Let an access key be somebody's."""
        with self.lock:
            self.principals[key] = principal

    def find_role(self, arn: str) -> Principal | None:
        """The role of an ARN."""
        with self.lock:
            return next((each for each in self.principals.values() if each.arn == arn and each.session is None), None)

    def name(self, key: str) -> str:
        """Whose access key it is; empty for nobody's."""
        principal = self.principals.get(key)
        return principal.name if principal else ""

    def first_refused(self, key: str, actions: Sequence[Action]) -> Action | None:
        """Decide on all actions of a call, and write each down; the first that is not allowed, if any."""
        refused = [action for action in actions if not self._decide(key, action)]
        return refused[0] if refused else None

    def would_allow(self, key: str, action: Action) -> bool:
        """Decide without a trace, on what a service asks for itself."""
        return self._ask(key, action).allowed

    def _ask(self, key: str, action: Action) -> Decision:
        principal = self.principals.get(key)
        if principal is None:
            return _NOBODY
        return decide(
            principal.policies,
            action=action.name,
            resource=action.resource,
            context=action.context,
            session=principal.session,
        )

    def _decide(self, key: str, action: Action) -> bool:
        decision = self._ask(key, action)
        call = {
            "principal": self.name(key) or key,
            "action": action.name,
            "resource": action.resource,
            "context": action.context,
            "allowed": decision.allowed,
            "sid": decision.sid,
            "why": decision.why,
        }
        with self.lock, self.log.open("a", encoding="utf-8") as log:
            log.write(json.dumps(call) + "\n")
        return decision.allowed

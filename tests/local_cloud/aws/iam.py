"""A simulator of what IAM decides: a role's policies, a session's policy beside them, and who may take a role.

It knows the elements, operators and condition keys that our policies use, and refuses to guess about any other.
Resources are matched as text with wildcards. IAM does not let a wildcard within an ARN cross a colon; where that
matters, this errs on the side of allowing, which is the strict side for a proof that something is not allowed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.local_cloud.aws.deployment import Document, Role
from tests.local_cloud.aws.iam_conditions import Context, check_conditions, check_context, holds, is_like

Why = Literal["allowed", "explicit deny", "no statement allows it", "the session policy does not allow it"]

_ELEMENTS = frozenset(["Sid", "Effect", "Action", "Resource", "Principal", "Condition"])


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What is decided and by which statement; `sid` is empty where none speaks of the call."""

    allowed: bool
    sid: str
    why: Why


def is_allowed(
    policies: Iterable[Document],
    *,
    action: str,
    resource: str,
    context: Context | None = None,
    session: Iterable[Document] | None = None,
) -> bool:
    """Whether the call is allowed; see `decide`."""
    return decide(policies, action=action, resource=resource, context=context, session=session).allowed


def decide(
    policies: Iterable[Document],
    *,
    action: str,
    resource: str,
    context: Context | None = None,
    session: Iterable[Document] | None = None,
) -> Decision:
    """What IAM says to a call.

    Args:
        policies: a role's policies; with them may go the resource's own that speak of everybody.
        resource: an ARN.
        context: the request's condition keys, such as s3:prefix.
        session: policies that bound the session: what they do not allow too is refused. None: nothing does.

    Raises:
        ValueError: a policy, or the context, has an element, operator, key or variable that is not known here.
    """
    given = check_context(context or {})
    own = [each for each in _statements(policies) if _speaks_of(each, action, resource, given)]
    bounds = [each for each in _statements(session or ()) if _speaks_of(each, action, resource, given)]
    for statement in (*own, *bounds):
        if statement["Effect"] == "Deny":
            return Decision(allowed=False, sid=statement.get("Sid", ""), why="explicit deny")
    if not own:
        return Decision(allowed=False, sid="", why="no statement allows it")
    if session is not None and not bounds:
        return Decision(allowed=False, sid="", why="the session policy does not allow it")
    return Decision(allowed=True, sid=own[0].get("Sid", ""), why="allowed")


def trusts(trust: Document, *, service: str, context: Context | None = None) -> bool:
    """Whether a role's trust policy lets a service take the role.

    Raises:
        ValueError: see `decide`.
    """
    given = check_context(context or {})
    applying = [
        statement["Effect"]
        for statement in _statements([trust], principals=True)
        if service in as_list(statement["Principal"]["Service"])
        and "sts:AssumeRole" in as_list(statement["Action"])
        and holds(statement.get("Condition", {}), given)
    ]
    return bool(applying) and "Deny" not in applying


def may_pass_role(policies: Iterable[Document], *, role: Role, service: str, context: Context | None = None) -> bool:
    """Whether a caller may hand a role to a service, and the service may take it.

    Args:
        context: what the service says of itself when it takes the role, such as aws:SourceArn.

    Raises:
        ValueError: see `decide`.
    """
    passed = is_allowed(policies, action="iam:PassRole", resource=role.arn, context={"iam:PassedToService": service})
    return passed and trusts(role.trust, service=service, context=context)


def as_list(value: Any) -> list[Any]:
    """An element of a policy, which may be one value or a list of them."""
    return list(value) if isinstance(value, list | tuple) else [value]


def _statements(policies: Iterable[Document], *, principals: bool = False) -> Iterator[Document]:
    for policy in policies:
        if policy.get("Version") != "2012-10-17":
            raise ValueError("a policy's version must be 2012-10-17")
        for statement in as_list(policy["Statement"]):
            _check(statement, principals=principals)
            yield statement


def _check(statement: Mapping[str, Any], *, principals: bool) -> None:
    if unknown := set(statement) - _ELEMENTS:
        raise ValueError(f"a statement's {sorted(unknown)} are not known here")
    if statement["Effect"] not in ("Allow", "Deny"):
        raise ValueError(f"an effect is Allow or Deny, not {statement['Effect']!a}")
    if not principals and statement.get("Principal", "*") != "*":
        raise ValueError("a statement of one principal is not known here")
    if any("${" in text for text in as_list(statement.get("Resource", []))):
        raise ValueError("variables are not known here")
    check_conditions(statement.get("Condition", {}))


def _speaks_of(statement: Mapping[str, Any], action: str, resource: str, context: Context) -> bool:
    return (
        any(is_like(pattern.lower(), action.lower()) for pattern in as_list(statement["Action"]))
        and any(is_like(pattern, resource) for pattern in as_list(statement["Resource"]))
        and holds(statement.get("Condition", {}), context)
    )

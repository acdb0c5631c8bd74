"""Simulate IAM's decisions: identity policies, session policies and trust policies.

Only the elements, operators and condition keys that our policies use are supported; any other is an error. Resources
are matched as text with wildcards. In IAM a wildcard within an ARN does not match a colon; here it does, which allows
more and so makes a proof that something is denied stricter.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.local_cloud.aws.iam.conditions import Context, check_conditions, check_context, holds, is_like

Document = Mapping[str, Any]
Why = Literal["allowed", "explicit deny", "no statement allows it", "the session policy does not allow it"]

_ELEMENTS = frozenset(["Sid", "Effect", "Action", "Resource", "Principal", "Condition"])


@dataclass(frozen=True, kw_only=True)
class Role:
    """A role with its policy documents and its trust policy."""

    name: str
    arn: str
    policies: tuple[Document, ...]
    trust: Document


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A decision and the statement behind it; `sid` is empty if no statement applies."""

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
    """Return whether a call is allowed; see `decide`."""
    return decide(policies, action=action, resource=resource, context=context, session=session).allowed


def decide(
    policies: Iterable[Document],
    *,
    action: str,
    resource: str,
    context: Context | None = None,
    session: Iterable[Document] | None = None,
) -> Decision:
    """Return IAM's decision on a call.

    Args:
        policies: the role's policies, and resource policies whose principal is everyone.
        resource: an ARN.
        context: the request's condition keys, such as s3:prefix.
        session: the session policies, which must also allow the call. None: the session has none.

    Raises:
        ValueError: a policy or the context has an unsupported element, operator, key or variable.
    """
    keys = check_context(context or {})
    role_statements = [each for each in _statements(policies) if _applies(each, action, resource, keys)]
    session_statements = [each for each in _statements(session or ()) if _applies(each, action, resource, keys)]
    for statement in (*role_statements, *session_statements):
        if statement["Effect"] == "Deny":
            return Decision(allowed=False, sid=statement.get("Sid", ""), why="explicit deny")
    if not role_statements:
        return Decision(allowed=False, sid="", why="no statement allows it")
    if session is not None and not session_statements:
        return Decision(allowed=False, sid="", why="the session policy does not allow it")
    return Decision(allowed=True, sid=role_statements[0].get("Sid", ""), why="allowed")


def trusts(trust: Document, *, service: str, context: Context | None = None) -> bool:
    """Return whether a role's trust policy lets a service assume the role.

    Raises:
        ValueError: see `decide`.
    """
    keys = check_context(context or {})
    applying = [
        statement["Effect"]
        for statement in _statements([trust], principals=True)
        if service in as_list(statement["Principal"]["Service"])
        and "sts:AssumeRole" in as_list(statement["Action"])
        and holds(statement.get("Condition", {}), keys)
    ]
    return bool(applying) and "Deny" not in applying


def may_pass_role(policies: Iterable[Document], *, role: Role, service: str, context: Context | None = None) -> bool:
    """Return whether a caller may pass a role to a service, and the service may assume it.

    Args:
        context: the condition keys that the service sets when it assumes the role, such as aws:SourceArn.

    Raises:
        ValueError: see `decide`.
    """
    passed = is_allowed(policies, action="iam:PassRole", resource=role.arn, context={"iam:PassedToService": service})
    return passed and trusts(role.trust, service=service, context=context)


def as_list(value: Any) -> list[Any]:
    """Return an element of a policy as a list, because it may be a single value."""
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
        raise ValueError(f"a statement's {sorted(unknown)} are not supported")
    if statement["Effect"] not in ("Allow", "Deny"):
        raise ValueError(f"an effect is Allow or Deny, not {statement['Effect']!a}")
    if not principals and statement.get("Principal", "*") != "*":
        raise ValueError("a statement of a single principal is not supported")
    if any("${" in text for text in as_list(statement.get("Resource", []))):
        raise ValueError("variables are not supported")
    check_conditions(statement.get("Condition", {}))


def _applies(statement: Mapping[str, Any], action: str, resource: str, context: Context) -> bool:
    return (
        any(is_like(pattern.lower(), action.lower()) for pattern in as_list(statement["Action"]))
        and any(is_like(pattern, resource) for pattern in as_list(statement["Resource"]))
        and holds(statement.get("Condition", {}), context)
    )

"""The IAM policy simulator decides as IAM's rules say."""

from typing import Any

import pytest

from tests.local_cloud.aws.iam.policies import Role, decide, is_allowed, may_pass_role, trusts


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def statement(
    effect: str = "Allow", action: Any = "s3:GetObject", resource: Any = "arn:aws:s3:::b/*", **more: Any
) -> dict[str, Any]:
    return {"Sid": effect, "Effect": effect, "Action": action, "Resource": resource, **more}


@pytest.mark.parametrize(
    ("pattern", "resource", "matches"),
    [
        ("arn:aws:s3:::b/acme/*", "arn:aws:s3:::b/acme/x", True),
        ("arn:aws:s3:::b/acme/*", "arn:aws:s3:::b/acme/x/y/z", True),
        ("arn:aws:s3:::b/acme/*", "arn:aws:s3:::b/acme/", True),
        ("arn:aws:s3:::b/acme/*", "arn:aws:s3:::b/acme", False),
        ("arn:aws:s3:::b/acme/*", "arn:aws:s3:::b/acme-2/x", False),
        ("arn:aws:s3:::b/acme*", "arn:aws:s3:::b/acme-2/x", True),
        ("arn:aws:s3:::b/acme/*", "arn:aws:s3:::b/x/acme/y", False),
        ("arn:aws:s3:::b/*/chat/*", "arn:aws:s3:::b/acme/chat/x", True),
        ("arn:aws:s3:::b/*/chat/*", "arn:aws:s3:::b/chat/x", False),
        ("arn:aws:s3:::b/*", "arn:aws:s3:::bb/x", False),
        ("arn:aws:s3:::b", "arn:aws:s3:::b/x", False),
        ("arn:aws:s3:::b/?", "arn:aws:s3:::b/x", True),
        ("arn:aws:s3:::b/?", "arn:aws:s3:::b/", False),
        ("arn:aws:s3:::b/?", "arn:aws:s3:::b/xy", False),
        ("arn:aws:s3:::b/a.b", "arn:aws:s3:::b/axb", False),
        ("arn:aws:s3:::b/[ab]", "arn:aws:s3:::b/a", False),
        ("arn:aws:s3:::b/**", "arn:aws:s3:::b/", True),
        ("arn:aws:s3:::b/acme/*", "arn:aws:s3:::b/ACME/x", False),
        ("arn:aws:s3:::b/x*", "arn:aws:s3:::b/x\ny", True),
        ("*", "arn:aws:s3:::b/x", True),
    ],
)
def test_resources_match_by_wildcards(pattern: str, resource: str, matches: bool) -> None:
    policies = [policy(statement(resource=pattern))]
    assert is_allowed(policies, action="s3:GetObject", resource=resource) == matches


@pytest.mark.parametrize(
    ("actions", "action", "matches"),
    [
        ("s3:GetObject", "s3:GetObject", True),
        ("S3:getobject", "s3:GetObject", True),
        ("s3:GetObject", "s3:GetObjectVersion", False),
        ("s3:Get*", "s3:GetObjectVersion", True),
        ("s3:*", "s3express:GetObject", False),
        (["s3:PutObject", "s3:GetObject"], "s3:GetObject", True),
        ([], "s3:GetObject", False),
    ],
)
def test_actions_match_in_any_case(actions: Any, action: str, matches: bool) -> None:
    policies = [policy(statement(action=actions))]
    assert is_allowed(policies, action=action, resource="arn:aws:s3:::b/x") == matches


LEADING = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["TENANT#*#BATCH"]}}
PRESENT = {"Null": {"dynamodb:LeadingKeys": "false"}}


@pytest.mark.parametrize(
    ("condition", "context", "holds"),
    [
        ({"StringEquals": {"s3:prefix": "acme/"}}, {"s3:prefix": "acme/"}, True),
        ({"StringEquals": {"s3:prefix": "acme/"}}, {"s3:prefix": "Acme/"}, False),
        ({"StringEquals": {"s3:prefix": "acme/*"}}, {"s3:prefix": "acme/x"}, False),
        ({"StringEquals": {"s3:prefix": ["acme/", "globex/"]}}, {"s3:prefix": "globex/"}, True),
        ({"StringLike": {"s3:prefix": "acme/*"}}, {"s3:prefix": "acme/x/y"}, True),
        ({"StringLike": {"s3:prefix": "acme/*"}}, {"s3:prefix": "acme-2/x"}, False),
        ({"StringLike": {"S3:Prefix": "acme/*"}}, {"s3:prefix": "acme/x"}, True),
        ({"StringLike": {"s3:prefix": "*"}}, {}, False),
        ({"StringLikeIfExists": {"s3:prefix": "acme/*"}}, {}, True),
        ({"StringLikeIfExists": {"s3:prefix": "acme/*"}}, {"s3:prefix": "globex/"}, False),
        ({"Bool": {"aws:SecureTransport": "false"}}, {"aws:SecureTransport": "false"}, True),
        ({"Bool": {"aws:SecureTransport": "false"}}, {"aws:SecureTransport": "true"}, False),
        ({"Bool": {"aws:SecureTransport": "false"}}, {}, False),
        ({"ArnEquals": {"aws:SourceArn": "arn:aws:x:*"}}, {"aws:SourceArn": "arn:aws:x:y"}, True),
        (LEADING, {"dynamodb:LeadingKeys": ["TENANT#acme#BATCH"]}, True),
        (LEADING, {"dynamodb:LeadingKeys": ["TENANT#acme#BATCH", "SYSTEM#TENANTS"]}, False),
        (LEADING, {}, True),
        (LEADING | PRESENT, {}, False),
        (LEADING | PRESENT, {"dynamodb:LeadingKeys": []}, False),
        (LEADING | PRESENT, {"dynamodb:LeadingKeys": ["TENANT#acme#BATCH"]}, True),
        ({"ForAnyValue:StringEquals": {"aws:TagKeys": "tenant"}}, {"aws:TagKeys": ["x", "tenant"]}, True),
        ({"ForAnyValue:StringEquals": {"aws:TagKeys": "tenant"}}, {}, False),
        ({"Null": {"aws:TagKeys": "true"}}, {}, True),
        (
            {"StringEquals": {"s3:prefix": "a", "kms:ViaService": "s3"}},
            {"s3:prefix": "a", "kms:ViaService": "sqs"},
            False,
        ),
    ],
)
def test_statement_applies_only_if_all_conditions_hold(
    condition: dict[str, Any], context: dict[str, Any], holds: bool
) -> None:
    policies = [policy(statement(Condition=condition))]
    assert is_allowed(policies, action="s3:GetObject", resource="arn:aws:s3:::b/x", context=context) == holds


ALLOW_ALL = policy(statement(resource="*"))
DENY_CHAT = policy(statement("Deny", resource="arn:aws:s3:::b/*/chat/*"))


@pytest.mark.parametrize("policies", [[ALLOW_ALL, DENY_CHAT], [DENY_CHAT, ALLOW_ALL]])
def test_explicit_deny_overrides_every_allow(policies: list[dict[str, Any]]) -> None:
    decision = decide(policies, action="s3:GetObject", resource="arn:aws:s3:::b/acme/chat/x")
    assert (decision.allowed, decision.sid, decision.why) == (False, "Deny", "explicit deny")
    assert is_allowed(policies, action="s3:GetObject", resource="arn:aws:s3:::b/acme/analytics/x")


def test_deny_does_not_apply_if_its_condition_fails() -> None:
    no_tls = statement("Deny", "s3:*", "*", Principal="*", Condition={"Bool": {"aws:SecureTransport": "false"}})
    for secure in ("true", "false"):
        allowed = is_allowed(
            [ALLOW_ALL, policy(no_tls)],
            action="s3:GetObject",
            resource="arn:aws:s3:::b/x",
            context={"aws:SecureTransport": secure},
        )
        assert allowed == (secure == "true")


def test_call_without_matching_statement_is_denied() -> None:
    assert decide([], action="s3:GetObject", resource="arn:aws:s3:::b/x").why == "no statement allows it"


@pytest.mark.parametrize(
    ("role", "session", "why"),
    [
        (ALLOW_ALL, [policy(statement(resource="arn:aws:s3:::b/acme/*"))], "allowed"),
        (ALLOW_ALL, [policy(statement(resource="arn:aws:s3:::b/globex/*"))], "the session policy does not allow it"),
        (ALLOW_ALL, [], "the session policy does not allow it"),
        (ALLOW_ALL, [policy(statement("Deny"))], "explicit deny"),
        (policy(), [ALLOW_ALL], "no statement allows it"),
        (policy(statement("Deny")), [ALLOW_ALL], "explicit deny"),
        (ALLOW_ALL, None, "allowed"),
    ],
)
def test_session_is_limited_to_role_and_session_policy(
    role: dict[str, Any], session: list[dict[str, Any]] | None, why: str
) -> None:
    decision = decide([role], action="s3:GetObject", resource="arn:aws:s3:::b/acme/x", session=session)
    assert (decision.why, decision.allowed) == (why, why == "allowed")


@pytest.mark.parametrize(
    "unsupported",
    [
        policy({"Effect": "Allow", "NotAction": "s3:GetObject", "Resource": "*"}),
        policy({"Effect": "Allow", "Action": "s3:GetObject", "NotResource": "*"}),
        policy(statement("Maybe")),
        policy(statement(Principal={"AWS": "*"})),
        policy(statement(resource="arn:aws:s3:::b/${aws:username}/*")),
        policy(statement(Condition={"StringEquals": {"s3:prefix": "${aws:username}"}})),
        policy(statement(Condition={"StringEquals": {"s3:prefixes": "a"}})),
        policy(statement(Condition={"StringNotLike": {"s3:prefix": "a"}})),
        policy(statement(Condition={"NumericLessThan": {"s3:prefix": "1"}})),
        policy(statement(Condition={"StringLike": {"dynamodb:LeadingKeys": "a"}})),
        policy(statement(Condition={"ForAllValues:StringLike": {"s3:prefix": "a"}})),
        {"Version": "2008-10-17", "Statement": []},
    ],
    ids=str,
)
def test_unsupported_policy_elements_raise(unsupported: dict[str, Any]) -> None:
    # Even if the statement does not apply to the call.
    with pytest.raises(ValueError, match=r"not supported|version|effect|fit"):
        is_allowed([unsupported], action="sqs:SendMessage", resource="arn:aws:sqs:r:1:q")


def test_misspelled_context_key_raises() -> None:
    with pytest.raises(ValueError, match="s3:prefixes"):
        is_allowed([ALLOW_ALL], action="s3:ListBucket", resource="arn:aws:s3:::b", context={"s3:prefixes": "x"})


def make_role(**condition: Any) -> Role:
    trust_statement = {
        "Effect": "Allow",
        "Principal": {"Service": "emr-serverless.amazonaws.com"},
        "Action": "sts:AssumeRole",
        **({"Condition": condition} if condition else {}),
    }
    return Role(name="job", arn="arn:aws:iam::1:role/job", policies=(), trust=policy(trust_statement))


APPLICATION = "arn:aws:emr-serverless:r:1:/applications/00a"


@pytest.mark.parametrize(
    ("service", "context", "trusted"),
    [
        ("emr-serverless.amazonaws.com", {"aws:SourceArn": APPLICATION}, True),
        ("emr-serverless.amazonaws.com", {"aws:SourceArn": f"{APPLICATION}b"}, False),
        ("emr-serverless.amazonaws.com", {}, False),
        ("lambda.amazonaws.com", {"aws:SourceArn": APPLICATION}, False),
    ],
)
def test_role_is_assumed_only_by_a_trusted_service(service: str, context: dict[str, str], trusted: bool) -> None:
    document = make_role(StringLike={"aws:SourceArn": APPLICATION}).trust
    assert trusts(document, service=service, context=context) == trusted


@pytest.mark.parametrize(
    ("allowed", "passed_to", "service", "passes"),
    [
        ("arn:aws:iam::1:role/job", "emr-serverless.amazonaws.com", "emr-serverless.amazonaws.com", True),
        ("arn:aws:iam::1:role/other", "emr-serverless.amazonaws.com", "emr-serverless.amazonaws.com", False),
        ("arn:aws:iam::1:role/job", "emr-serverless.amazonaws.com", "lambda.amazonaws.com", False),
        # The role may be passed to the service, but does not trust it.
        ("arn:aws:iam::1:role/job", "lambda.amazonaws.com", "lambda.amazonaws.com", False),
    ],
)
def test_pass_role_requires_permission_and_trust(allowed: str, passed_to: str, service: str, passes: bool) -> None:
    condition = {"StringEquals": {"iam:PassedToService": passed_to}}
    policies = [policy(statement(action="iam:PassRole", resource=allowed, Condition=condition))]
    assert may_pass_role(policies, role=make_role(), service=service) == passes

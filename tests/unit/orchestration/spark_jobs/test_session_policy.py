"""A job's session policy restricts it to its tenant (faults 43, 47), checked by an independent IAM simulator."""

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from daily_batch.domain.keys import EXPORT_TEMPLATE
from daily_batch.domain.request import Request
from daily_batch.domain.url import parse_url
from daily_batch.errors import TerminalError, UsageError
from daily_batch.orchestration.spark_jobs.session_policy import MAX_POLICY_LENGTH, parse_account, session_policy
from tests.local_cloud.aws.iam.policies import is_allowed

ROLE = "arn:aws:iam::123456789012:role/makoto-daily-batch-job"
ACCOUNT = parse_account(ROLE, "ap-northeast-1")
# A role that allows everything, so that only the session policy restricts the job.
EVERYTHING = [
    {"Version": "2012-10-17", "Statement": [{"Sid": "All", "Effect": "Allow", "Action": "*", "Resource": "*"}]}
]
IN, OUT, PACKAGE = "s3://data/raw", "s3://tables/made", "s3://artifacts/emr/1f"
TENANTS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", fullmatch=True)


def make_policy(tenant: str, *, source: str = IN, target: str = OUT, **more: Any) -> dict[str, Any]:
    request = Request(tenant=tenant, day=date(2025, 8, 12), input=parse_url(source), output=parse_url(target))
    options = {"export_template": EXPORT_TEMPLATE, "package": parse_url(PACKAGE), **more}
    return json.loads(session_policy(request, ACCOUNT, **options))  # type: ignore[no-any-return]


def is_permitted(policy: dict[str, Any], action: str, resource: str, **context: Any) -> bool:
    return is_allowed(EVERYTHING, action=action, resource=resource, context=context, session=[policy])


def can_list(policy: dict[str, Any], bucket: str, prefix: str) -> bool:
    return is_permitted(policy, "s3:ListBucket", f"arn:aws:s3:::{bucket}", **{"s3:prefix": prefix})


def test_policy_permits_what_a_day_needs() -> None:
    policy = make_policy("acme")
    for key in ("chat/u/r/messages/2025/08/12/x.json", "exports/messages/2025/08/12/a/b.gz"):
        assert is_permitted(policy, "s3:GetObject", f"arn:aws:s3:::data/raw/acme/{key}")
    for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"):
        assert is_permitted(policy, action, "arn:aws:s3:::tables/made/acme/analytics/messages/_delta_log/0.json")
    assert is_permitted(policy, "s3:GetObject", "arn:aws:s3:::artifacts/emr/1f/environment.tar.gz")
    for prefix in ("raw/acme/chat/", "raw/acme/exports/messages/2025/08/12/"):
        assert can_list(policy, "data", prefix)
    assert can_list(policy, "tables", "made/acme/analytics/messages/_delta_log/")


def test_policy_permits_no_change_of_messages_and_no_other_data() -> None:
    policy = make_policy("acme")
    for action in ("s3:PutObject", "s3:DeleteObject"):
        assert not is_permitted(policy, action, "arn:aws:s3:::data/raw/acme/chat/u/r/messages/2025/08/12/x.json")
    assert not is_permitted(policy, "s3:GetObject", "arn:aws:s3:::data/raw/acme/billing/card.json")
    assert not is_permitted(policy, "s3:PutObject", "arn:aws:s3:::artifacts/emr/1f/environment.tar.gz")
    assert not can_list(policy, "data", "")
    assert not can_list(policy, "data", "raw/")
    assert not is_permitted(
        policy, "dynamodb:PutItem", "arn:aws:dynamodb:ap-northeast-1:123456789012:table/makoto-metadata"
    )


@given(own=TENANTS, other=TENANTS)
def test_43_job_of_one_tenant_reaches_no_other_whatever_their_names(own: str, other: str) -> None:
    assume(own != other)
    policy = make_policy(own)
    for folder in ("chat/u/r/messages/2025/08/12/x.json", "exports/messages/2025/08/12/a.gz", "analytics/messages/p"):
        for bucket in ("data/raw", "tables/made"):
            for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"):
                assert not is_permitted(policy, action, f"arn:aws:s3:::{bucket}/{other}/{folder}")
    for prefix in (
        f"raw/{other}/chat/",
        f"raw/{other}/exports/messages/",
        f"made/{other}/analytics/messages/",
        f"raw/{other}",
    ):
        assert not can_list(policy, "data", prefix)
        assert not can_list(policy, "tables", prefix)


@pytest.mark.parametrize("other", ["acme-2", "acme2", "acm", "Acme", "acme_", "xacme"])
def test_43_similar_name_is_another_tenant(other: str) -> None:
    assert not is_permitted(make_policy("acme"), "s3:GetObject", f"arn:aws:s3:::data/raw/{other}/chat/x.json")


def test_one_bucket_without_a_prefix_is_restricted_too() -> None:
    policy = make_policy("acme", source="s3://data", target="s3://data")
    assert is_permitted(policy, "s3:PutObject", "arn:aws:s3:::data/acme/analytics/rejects/x.parquet")
    assert not is_permitted(policy, "s3:PutObject", "arn:aws:s3:::data/acme/chat/x.json")
    assert not is_permitted(policy, "s3:GetObject", "arn:aws:s3:::data/acme-2/chat/x.json")
    assert not can_list(policy, "data", "")


def test_policy_covers_only_the_folder_of_the_export_template() -> None:
    policy = make_policy("acme", export_template="{tenant}/dump/v2/{yyyy}-{mm}-{dd}/")
    assert is_permitted(policy, "s3:GetObject", "arn:aws:s3:::data/raw/acme/dump/v2/2025-08-12/a.gz")
    assert not is_permitted(policy, "s3:GetObject", "arn:aws:s3:::data/raw/acme/dump/v1/2025-08-12/a.gz")
    assert not is_permitted(policy, "s3:GetObject", "arn:aws:s3:::data/raw/acme/exports/messages/2025/08/12/a.gz")


def test_job_may_query_only_its_own_tenants_rooms() -> None:
    policy = make_policy("acme", rooms_table="makoto-metadata")
    table = "arn:aws:dynamodb:ap-northeast-1:123456789012:table/makoto-metadata"
    for key in ("TENANT#acme", "TENANT#acme#USER#bob"):
        assert is_permitted(policy, "dynamodb:Query", table, **{"dynamodb:LeadingKeys": [key]})
    for key in ("TENANT#acme-2", "TENANT#acme#BATCH", "TENANT#acme-2#USER#bob", "SYSTEM#TENANTS"):
        assert not is_permitted(policy, "dynamodb:Query", table, **{"dynamodb:LeadingKeys": [key]})
    assert not is_permitted(make_policy("acme"), "dynamodb:Query", table, **{"dynamodb:LeadingKeys": ["TENANT#acme"]})


def test_job_registers_tables_only_in_its_own_tenants_database() -> None:
    policy = make_policy("acme", database="chat_acme")
    glue = "arn:aws:glue:ap-northeast-1:123456789012"
    for action in ("GetDatabase", "CreateDatabase", "GetTable", "CreateTable", "UpdateTable"):
        for resource in ("catalog", "database/chat_acme", "table/chat_acme/messages"):
            assert is_permitted(policy, f"glue:{action}", f"{glue}:{resource}")
            assert not is_permitted(make_policy("acme"), f"glue:{action}", f"{glue}:{resource}")
        for resource in ("database/chat_acme-2", "table/chat_acme-2/messages", "database/chat_globex"):
            assert not is_permitted(policy, f"glue:{action}", f"{glue}:{resource}")
    assert not is_permitted(policy, "glue:DeleteTable", f"{glue}:table/chat_acme/messages")


def test_registration_is_left_out_before_the_policy_is_too_long() -> None:
    given = {
        "rooms_table": "makoto-metadata",
        "log_group": "/aws/emr-serverless/makoto-daily-batch",
        "kms_key_arn": "arn:aws:kms:ap-northeast-1:123456789012:key/" + "k" * 36,
    }
    for tenant, registers in (("acme", True), ("t" * 63, False)):
        policy = make_policy(tenant, database=f"chat_{tenant}", **given)
        assert ("glue" in json.dumps(policy)) == registers
        if not registers:
            assert policy == make_policy(tenant, **given)


def test_policy_names_the_log_group_and_the_key() -> None:
    key = "arn:aws:kms:ap-northeast-1:123456789012:key/1"
    policy = make_policy("acme", log_group="/aws/emr-serverless/makoto", kms_key_arn=key)
    group = "arn:aws:logs:ap-northeast-1:123456789012:log-group:/aws/emr-serverless/"
    assert is_permitted(policy, "logs:PutLogEvents", f"{group}makoto:log-stream:acme/x")
    assert not is_permitted(policy, "logs:PutLogEvents", f"{group}other:log-stream:acme/x")
    assert is_permitted(policy, "kms:Decrypt", key)
    assert not is_permitted(policy, "kms:Decrypt", key + "2")


def test_47_policy_beyond_the_limit_is_refused_not_widened() -> None:
    usual = {
        "log_group": "/aws/emr-serverless/makoto-daily-batch",
        "kms_key_arn": "arn:aws:kms:ap-northeast-1:123456789012:key/" + "k" * 36,
    }
    longest_tenant = "t" * 63
    assert len(json.dumps(make_policy(longest_tenant, **usual), separators=(",", ":"))) <= MAX_POLICY_LENGTH
    with pytest.raises(TerminalError, match=r"the job's policy has [0-9,]+ characters, and EMR Serverless takes 2,048"):
        make_policy(longest_tenant, source="s3://data/" + "d" * 300, target="s3://data/" + "t" * 300, **usual)


@pytest.mark.parametrize("argument", ["source", "target", "package"])
def test_prefix_with_a_policy_variable_is_refused(argument: str) -> None:
    url = "s3://data/${aws:username}".replace("{", "").replace("}", "")
    changed: dict[str, Any] = {argument: parse_url(url) if argument == "package" else url}
    with pytest.raises(UsageError, match="cannot be named in a job's policy"):
        make_policy("acme", **changed)


def test_other_aws_partitions_have_their_own_arns() -> None:
    account = parse_account("arn:aws-cn:iam::123456789012:role/x", "cn-north-1")
    assert account.bucket(parse_url(IN)) == "arn:aws-cn:s3:::data"
    with pytest.raises(UsageError, match="not a role's ARN"):
        parse_account("arn:aws:iam::12:user/x", "us-east-1")

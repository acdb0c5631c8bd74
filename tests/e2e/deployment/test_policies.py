"""What roles may do and may not; and that docs/project/permissions-aws.md gives the reason for each statement."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import botocore.session
import pytest

from tests.local_cloud.aws.deployment import Deployment
from tests.local_cloud.aws.iam import as_list, is_allowed, may_pass_role
from tests.local_cloud.aws.template import read_deployment

DOCS = Path(__file__).parents[3] / "docs/project/permissions-aws.md"
# With everything that a parameter can switch on.
WHOLE = {
    "DataBucketName": "makoto-data",
    "PackageVersion": "0.1.0-0123456789ab",
    "Discovery": "metadata",
    "KmsKeyArn": "arn:aws:kms:ap-northeast-1:123456789012:key/0a1b",
    "NotifySecretArn": "arn:aws:secretsmanager:ap-northeast-1:123456789012:secret:makoto-webhook-AbCdEf",
}
ROLES = {
    "scheduler": "SchedulerRole",
    "dispatcher": "DispatcherRole",
    "worker": "WorkerRole",
    "watcher": "WatcherRole",
    "job": "JobRole",
}
RESOURCE_POLICIES = {"undelivered events": "EventDeadLetterQueuePolicy", "artifact bucket": "ArtifactBucketPolicy"}
# Statements that allow something on a resource with a wildcard, and what that stands for.
WILDCARDS = {
    **{(who, "WriteLog"): "streams of its own log group" for who in ("dispatcher", "worker", "watcher", "job")},
    **{(who, "ReadMessages"): "tenants, users, rooms, days" for who in ("worker", "job")},
    **{(who, "WriteTables"): "tenants and tables" for who in ("worker", "job")},
    **{(who, "FollowJobs"): "job runs of this application, whose ids AWS makes" for who in ("worker", "watcher")},
    ("worker", "TagJobs"): "job runs of this application, whose ids AWS makes",
    ("watcher", "ReadReceipts"): "tenants and days",
    ("job", "ReadPackage"): "versions and files of the package",
    ("job", "FindLog"): "logs:DescribeLogGroups knows no narrower resource",
}
TABLE = "arn:aws:dynamodb:ap-northeast-1:123456789012:table/makoto-metadata"
# Operations of the API by action, where the two have different names.
OPERATIONS = {
    "lambda:InvokeFunction": "Invoke",
    "s3:ListBucket": "ListObjectsV2",
    "iam:PassRole": "PassRole",
    "s3:*": "GetObject",
}


class Statement(NamedTuple):
    who: str
    sid: str
    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]


@pytest.fixture(scope="module")
def deployment() -> Deployment:
    return read_deployment(parameters=WHOLE)


@pytest.fixture(scope="module")
def statements(deployment: Deployment) -> list[Statement]:
    return list(read_statements(deployment))


def read_statements(deployment: Deployment) -> Iterator[Statement]:
    documents = [
        *((who, policy) for who, name in ROLES.items() for policy in deployment.roles[name].policies),
        *((f"{who} (trust)", deployment.roles[name].trust) for who, name in ROLES.items()),
        *((who, deployment.resources[name]["Properties"]["PolicyDocument"]) for who, name in RESOURCE_POLICIES.items()),
    ]
    for who, document in documents:
        for each in document["Statement"]:
            yield Statement(
                who,
                each["Sid"],
                each["Effect"],
                tuple(as_list(each["Action"])),
                tuple(as_list(each.get("Resource", []))),
            )


def test_every_policy_of_the_template_is_looked_at(deployment: Deployment) -> None:
    held = {logical_id for logical_id, each in deployment.resources.items() if "PolicyDocument" in str(each)}
    assert held == {*ROLES.values(), *RESOURCE_POLICIES.values()}
    assert set(deployment.roles) == set(ROLES.values())
    assert not any("ManagedPolicyArns" in str(deployment.resources[role]) for role in deployment.roles)


def test_no_statement_allows_a_wildcard_of_actions(statements: list[Statement]) -> None:
    assert [each for each in statements if each.effect == "Allow" and "*" in "".join(each.actions)] == []


def test_each_wildcard_in_a_resource_has_its_reason(statements: list[Statement]) -> None:
    found = {(each.who, each.sid) for each in statements if each.effect == "Allow" and "*" in "".join(each.resources)}
    assert found == set(WILDCARDS)


def test_no_statement_is_about_every_resource(statements: list[Statement]) -> None:
    assert [each for each in statements if "*" in each.resources] == []


def test_each_sid_is_used_once_by_each_who(statements: list[Statement]) -> None:
    named = [(each.who, each.sid) for each in statements]
    assert len(named) == len(set(named))


def test_each_action_is_one_that_aws_has(statements: list[Statement]) -> None:
    session = botocore.session.Session()
    for action in sorted({action for each in statements for action in each.actions}):
        service, name = action.split(":")
        model = session.get_service_model(service)
        assert OPERATIONS.get(action, name) in {*model.operation_names, "PassRole"}, action


def allowed(deployment: Deployment, role: str, action: str, resource: str, **context: Any) -> bool:
    keys = {name.replace("_", ":"): value for name, value in context.items()}
    return is_allowed(deployment.roles[role].policies, action=action, resource=resource, context=keys)


MESSAGE = "arn:aws:s3:::makoto-data/acme/chat/u1/r1/messages/2025/08/12/00-00-00.000Z-m1.json"
EXPORT = "arn:aws:s3:::makoto-data/acme/exports/messages/2025/08/12/part-0.jsonl.gz"
# A room with the name of the tables' folder.
ODD_ROOM = "arn:aws:s3:::makoto-data/acme/chat/u1/analytics/messages/2025/08/12/00-00-00.000Z-m1.json"
ODD_RECEIPT = "arn:aws:s3:::makoto-data/acme/chat/analytics/_receipts/messages/2025/08/12/00-00-00.000Z-m1.json"
TABLES = "arn:aws:s3:::makoto-data/acme/analytics/messages/_delta_log/00000000000000000000.json"
RECEIPT = "arn:aws:s3:::makoto-data/acme/analytics/_receipts/2025-08-12/r.json"
INPUTS = [MESSAGE, EXPORT, ODD_ROOM, ODD_RECEIPT]


@pytest.mark.parametrize("resource", INPUTS)
@pytest.mark.parametrize("role", ROLES.values())
def test_nobody_can_change_or_delete_messages(deployment: Deployment, role: str, resource: str) -> None:
    for action in ("s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutObjectAcl"):
        assert not allowed(deployment, role, action, resource)


@pytest.mark.parametrize("resource", INPUTS)
@pytest.mark.parametrize("role", ["SchedulerRole", "DispatcherRole", "WatcherRole"])
def test_dispatcher_and_watcher_cannot_read_messages(deployment: Deployment, role: str, resource: str) -> None:
    assert not allowed(deployment, role, "s3:GetObject", resource)
    assert not allowed(deployment, role, "s3:ListBucket", "arn:aws:s3:::makoto-data", s3_prefix="acme/chat/")


@pytest.mark.parametrize("role", ["WorkerRole", "JobRole"])
def test_worker_and_job_read_messages_and_nothing_beside_them(deployment: Deployment, role: str) -> None:
    for resource in (MESSAGE, EXPORT, ODD_ROOM):
        assert allowed(deployment, role, "s3:GetObject", resource)
    for resource in (MESSAGE.replace("makoto-data", "others"), MESSAGE.replace("/messages/", "/uploads/")):
        assert not allowed(deployment, role, "s3:GetObject", resource)
    for prefix, listed in (("acme/chat/", True), ("acme/analytics/x/", True), ("acme/exports/", True), ("", False)):
        bucket = "arn:aws:s3:::makoto-data"
        assert allowed(deployment, role, "s3:ListBucket", bucket, s3_prefix=prefix) == listed
    assert not allowed(deployment, role, "s3:ListBucket", "arn:aws:s3:::makoto-data")


@pytest.mark.parametrize("role", ["WorkerRole", "JobRole"])
def test_worker_and_job_write_tables(deployment: Deployment, role: str) -> None:
    for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"):
        assert allowed(deployment, role, action, TABLES)
    assert not allowed(deployment, role, "s3:PutObject", "arn:aws:s3:::makoto-data/acme/other/x")


def test_where_tables_go_elsewhere_the_bucket_of_messages_is_only_read() -> None:
    deployment = read_deployment(parameters=WHOLE | {"OutputBucketName": "makoto-tables", "DataPrefix": "raw/"})
    for role in ("WorkerRole", "JobRole"):
        assert not allowed(deployment, role, "s3:PutObject", TABLES)
        assert allowed(deployment, role, "s3:PutObject", TABLES.replace("makoto-data", "makoto-tables"))
        assert not allowed(deployment, role, "s3:GetObject", MESSAGE)
        assert allowed(deployment, role, "s3:GetObject", MESSAGE.replace("makoto-data/", "makoto-data/raw/"))


def test_the_dispatcher_reads_the_list_of_tenants_and_writes_nothing_but_the_queue(deployment: Deployment) -> None:
    role = "DispatcherRole"
    assert allowed(deployment, role, "dynamodb:Query", TABLE, dynamodb_LeadingKeys=["SYSTEM#TENANTS"])
    for partition in ("TENANT#acme", "TENANT#acme#USER#u1", "TENANT#acme#BATCH"):
        assert not allowed(deployment, role, "dynamodb:Query", TABLE, dynamodb_LeadingKeys=[partition])
    for action in (
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "dynamodb:DeleteItem",
        "dynamodb:Scan",
        "dynamodb:GetItem",
    ):
        assert not allowed(deployment, role, action, TABLE, dynamodb_LeadingKeys=["SYSTEM#TENANTS"])
    queue = deployment.queues["TaskQueue"].arn
    assert allowed(deployment, role, "sqs:SendMessage", queue)
    assert not allowed(deployment, role, "sqs:ReceiveMessage", queue)
    assert not allowed(deployment, role, "emr-serverless:StartJobRun", deployment.application.arn)


@pytest.mark.parametrize("role", ["WorkerRole", "WatcherRole"])
def test_the_ledger_is_all_that_is_written_of_the_table(deployment: Deployment, role: str) -> None:
    for action in ("dynamodb:GetItem", "dynamodb:PutItem"):
        assert allowed(deployment, role, action, TABLE, dynamodb_LeadingKeys=["TENANT#acme#BATCH"])
    for partition in ("SYSTEM#TENANTS", "TENANT#acme", "TENANT#acme#USER#u1"):
        assert not allowed(deployment, role, "dynamodb:PutItem", TABLE, dynamodb_LeadingKeys=[partition])
    assert not allowed(deployment, role, "dynamodb:DeleteItem", TABLE, dynamodb_LeadingKeys=["TENANT#acme#BATCH"])
    assert not allowed(deployment, role, "dynamodb:PutItem", TABLE)


@pytest.mark.parametrize(("discovery", "asks"), [("listing", False), ("metadata", True)])
def test_rooms_are_asked_for_only_where_they_are_found_so(discovery: str, asks: bool) -> None:
    deployment = read_deployment(parameters=WHOLE | {"Discovery": discovery})
    for role in ("WorkerRole", "JobRole"):
        rooms = ["TENANT#acme#USER#u1"]
        assert allowed(deployment, role, "dynamodb:Query", TABLE, dynamodb_LeadingKeys=rooms) == asks


def test_the_watcher_reads_receipts_and_no_tables(deployment: Deployment) -> None:
    assert allowed(deployment, "WatcherRole", "s3:GetObject", RECEIPT)
    assert not allowed(deployment, "WatcherRole", "s3:GetObject", TABLES)
    assert not allowed(deployment, "WatcherRole", "s3:PutObject", RECEIPT)
    for prefix, listed in (("acme/analytics/_receipts/2025-08-12/r.json", True), ("acme/analytics/messages/", False)):
        assert (
            allowed(deployment, "WatcherRole", "s3:ListBucket", "arn:aws:s3:::makoto-data", s3_prefix=prefix) == listed
        )


@pytest.mark.parametrize(("posts", "allows"), [(True, True), (False, False)])
def test_only_a_watcher_that_posts_reads_the_webhook_and_claims_the_night(posts: bool, allows: bool) -> None:
    secret = WHOLE["NotifySecretArn"]
    deployment = read_deployment(parameters=WHOLE | {"NotifySecretArn": secret if posts else ""})
    assert allowed(deployment, "WatcherRole", "secretsmanager:GetSecretValue", secret) == allows
    assert not allowed(deployment, "WatcherRole", "secretsmanager:GetSecretValue", f"{secret}x")
    assert not allowed(deployment, "WatcherRole", "secretsmanager:PutSecretValue", secret)
    for action in ("dynamodb:GetItem", "dynamodb:PutItem"):
        assert allowed(deployment, "WatcherRole", action, TABLE, dynamodb_LeadingKeys=["BATCH"]) == allows
    for role in ("DispatcherRole", "WorkerRole", "JobRole"):
        assert not allowed(deployment, role, "secretsmanager:GetSecretValue", secret)
        assert not allowed(deployment, role, "dynamodb:PutItem", TABLE, dynamodb_LeadingKeys=["BATCH"])


def test_the_worker_passes_the_job_role_and_no_other(deployment: Deployment) -> None:
    ours = {"aws:SourceAccount": "123456789012", "aws:SourceArn": deployment.application.arn}
    worker = deployment.roles["WorkerRole"].policies
    passed = {
        (name, service)
        for name, role in deployment.roles.items()
        for service in ("emr-serverless.amazonaws.com", "lambda.amazonaws.com", "scheduler.amazonaws.com")
        if may_pass_role(worker, role=role, service=service, context=ours)
    }
    assert passed == {("JobRole", "emr-serverless.amazonaws.com")}
    others = [role.policies for name, role in deployment.roles.items() if name != "WorkerRole"]
    job = deployment.roles["JobRole"]
    assert not any(
        may_pass_role(each, role=job, service="emr-serverless.amazonaws.com", context=ours) for each in others
    )


def test_another_application_cannot_take_the_job_role(deployment: Deployment) -> None:
    worker, job = deployment.roles["WorkerRole"].policies, deployment.roles["JobRole"]
    other = {"aws:SourceAccount": "123456789012", "aws:SourceArn": f"{deployment.application.arn}x"}
    assert not may_pass_role(worker, role=job, service="emr-serverless.amazonaws.com", context=other)


def test_jobs_are_started_in_this_application_only(deployment: Deployment) -> None:
    arn = deployment.application.arn
    assert allowed(deployment, "WorkerRole", "emr-serverless:StartJobRun", arn)
    assert not allowed(deployment, "WorkerRole", "emr-serverless:StartJobRun", f"{arn}x")
    assert not allowed(deployment, "WatcherRole", "emr-serverless:StartJobRun", arn)
    for role in ("WorkerRole", "WatcherRole"):
        assert allowed(deployment, role, "emr-serverless:CancelJobRun", f"{arn}/jobruns/00f1")
        assert not allowed(deployment, role, "emr-serverless:CancelJobRun", f"{arn}x/jobruns/00f1")
    tags = ["product", "tenant", "date", "run_id", "token"]
    for resource in (arn, f"{arn}/jobruns/00f1"):
        assert allowed(deployment, "WorkerRole", "emr-serverless:TagResource", resource, aws_TagKeys=tags)
        assert not allowed(deployment, "WorkerRole", "emr-serverless:TagResource", resource, aws_TagKeys=["team"])


def test_the_key_is_used_through_s3_only(deployment: Deployment) -> None:
    key = WHOLE["KmsKeyArn"]
    for role in ("WorkerRole", "WatcherRole", "JobRole"):
        assert allowed(deployment, role, "kms:Decrypt", key, kms_ViaService="s3.ap-northeast-1.amazonaws.com")
        assert not allowed(deployment, role, "kms:Decrypt", key, kms_ViaService="sqs.ap-northeast-1.amazonaws.com")
        assert not allowed(deployment, role, "kms:Decrypt", key)
    assert not allowed(deployment, "DispatcherRole", "kms:Decrypt", key)


@pytest.mark.parametrize(
    ("role", "function"),
    [("DispatcherRole", "dispatcher"), ("WorkerRole", "processor"), ("WatcherRole", "watcher")],
)
def test_a_function_writes_its_own_log_only(deployment: Deployment, role: str, function: str) -> None:
    for name in ("dispatcher", "processor", "watcher"):
        group = f"arn:aws:logs:ap-northeast-1:123456789012:log-group:/aws/lambda/makoto-daily-batch-{name}"
        assert allowed(deployment, role, "logs:PutLogEvents", f"{group}:log-stream:x") == (name == function)
        assert not allowed(deployment, role, "logs:DeleteLogGroup", group)


def test_the_documents_name_every_statement_with_its_actions_and_a_reason(statements: list[Statement]) -> None:
    assert read_table(DOCS.read_text(encoding="utf-8")) == {
        (each.who, each.sid): tuple(sorted(each.actions)) for each in statements
    }


def read_table(text: str) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the actions by role and Sid of a table whose rows name one or more roles; each row must have a reason."""
    _, header, table = text.partition("| who | Sid | actions | why |\n")
    assert header, f"{DOCS.name} has no table of permissions"
    rows = {}
    for line in table.splitlines()[1:]:
        if not line.startswith("|"):
            break
        who, sid, actions, why = (cell.strip() for cell in line.strip("|").split("|"))
        assert why, f"{who} {sid} has no reason"
        for each in who.split(", "):
            rows[each, sid.strip("`")] = tuple(sorted(re.findall(r"`([^`]+)`", actions)))
    return rows

"""What each role may and may not do; docs/project/permissions-aws.md explains every statement."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import botocore.session
import pytest

from tests.local_cloud.aws.deployment import Deployment
from tests.local_cloud.aws.iam.policies import as_list, is_allowed, may_pass_role
from tests.local_cloud.aws.template import read_deployment

DOCS = Path(__file__).parents[3] / "docs/project/permissions-aws.md"
# Enables everything that a parameter can enable.
PARAMETERS = {
    "DataBucketName": "makoto-data",
    "PackageVersion": "0.1.0-0123456789ab",
    "Discovery": "metadata",
    "GluePrefix": "chat",
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
# Statements that allow a resource with a wildcard, and what the wildcard stands for.
WILDCARDS = {
    **{(role, "WriteLog"): "streams of its own log group" for role in ("dispatcher", "worker", "watcher", "job")},
    **{(role, "ReadMessages"): "tenants, users, rooms, days" for role in ("worker", "job")},
    **{(role, "WriteTables"): "tenants and tables" for role in ("worker", "job")},
    **{(role, "FollowJobs"): "job runs of this application, whose ids AWS generates" for role in ("worker", "watcher")},
    **{(role, "RegisterTables"): "databases and tables of tenants" for role in ("worker", "job")},
    ("worker", "TagJobs"): "job runs of this application, whose ids AWS generates",
    ("watcher", "ReadReceipts"): "tenants and days",
    ("job", "ReadPackage"): "versions and files of the package",
    ("job", "FindLog"): "logs:DescribeLogGroups supports no narrower resource",
}
TABLE = "arn:aws:dynamodb:ap-northeast-1:123456789012:table/makoto-metadata"
# The API operation of an action, if it has another name.
OPERATIONS = {
    "lambda:InvokeFunction": "Invoke",
    "s3:ListBucket": "ListObjectsV2",
    "iam:PassRole": "PassRole",
    "s3:*": "GetObject",
}


class Statement(NamedTuple):
    role: str
    sid: str
    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]


@pytest.fixture(scope="module")
def deployment() -> Deployment:
    return read_deployment(parameters=PARAMETERS)


@pytest.fixture(scope="module")
def statements(deployment: Deployment) -> list[Statement]:
    return list(read_statements(deployment))


def read_statements(deployment: Deployment) -> Iterator[Statement]:
    documents = [
        *((role, policy) for role, name in ROLES.items() for policy in deployment.roles[name].policies),
        *((f"{role} (trust)", deployment.roles[name].trust) for role, name in ROLES.items()),
        *((role, deployment.resources[key]["Properties"]["PolicyDocument"]) for role, key in RESOURCE_POLICIES.items()),
    ]
    for role, document in documents:
        for each in document["Statement"]:
            yield Statement(
                role,
                each["Sid"],
                each["Effect"],
                tuple(as_list(each["Action"])),
                tuple(as_list(each.get("Resource", []))),
            )


def test_tests_cover_every_policy_of_the_template(deployment: Deployment) -> None:
    with_policy = {logical_id for logical_id, each in deployment.resources.items() if "PolicyDocument" in str(each)}
    assert with_policy == {*ROLES.values(), *RESOURCE_POLICIES.values()}
    assert set(deployment.roles) == set(ROLES.values())
    assert not any("ManagedPolicyArns" in str(deployment.resources[role]) for role in deployment.roles)


def test_no_statement_allows_wildcard_actions(statements: list[Statement]) -> None:
    assert [each for each in statements if each.effect == "Allow" and "*" in "".join(each.actions)] == []


def test_every_wildcard_resource_is_explained(statements: list[Statement]) -> None:
    found = {(each.role, each.sid) for each in statements if each.effect == "Allow" and "*" in "".join(each.resources)}
    assert found == set(WILDCARDS)


def test_no_statement_applies_to_all_resources(statements: list[Statement]) -> None:
    assert [each for each in statements if "*" in each.resources] == []


def test_sids_are_unique_within_a_role(statements: list[Statement]) -> None:
    sids = [(each.role, each.sid) for each in statements]
    assert len(sids) == len(set(sids))


def test_every_action_exists_in_aws(statements: list[Statement]) -> None:
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
# Users and rooms that are named like the folders of tables and receipts.
ANALYTICS_ROOM = "arn:aws:s3:::makoto-data/acme/chat/u1/analytics/messages/2025/08/12/00-00-00.000Z-m1.json"
RECEIPTS_ROOM = "arn:aws:s3:::makoto-data/acme/chat/analytics/_receipts/messages/2025/08/12/00-00-00.000Z-m1.json"
TABLES = "arn:aws:s3:::makoto-data/acme/analytics/messages/_delta_log/00000000000000000000.json"
RECEIPT = "arn:aws:s3:::makoto-data/acme/analytics/_receipts/2025-08-12/r.json"
INPUTS = [MESSAGE, EXPORT, ANALYTICS_ROOM, RECEIPTS_ROOM]


@pytest.mark.parametrize("resource", INPUTS)
@pytest.mark.parametrize("role", ROLES.values())
def test_no_role_can_change_or_delete_messages(deployment: Deployment, role: str, resource: str) -> None:
    for action in ("s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutObjectAcl"):
        assert not allowed(deployment, role, action, resource)


@pytest.mark.parametrize("resource", INPUTS)
@pytest.mark.parametrize("role", ["SchedulerRole", "DispatcherRole", "WatcherRole"])
def test_dispatcher_and_watcher_cannot_read_messages(deployment: Deployment, role: str, resource: str) -> None:
    assert not allowed(deployment, role, "s3:GetObject", resource)
    assert not allowed(deployment, role, "s3:ListBucket", "arn:aws:s3:::makoto-data", s3_prefix="acme/chat/")


@pytest.mark.parametrize("role", ["WorkerRole", "JobRole"])
def test_worker_and_job_read_only_messages(deployment: Deployment, role: str) -> None:
    for resource in (MESSAGE, EXPORT, ANALYTICS_ROOM):
        assert allowed(deployment, role, "s3:GetObject", resource)
    for resource in (MESSAGE.replace("makoto-data", "others"), MESSAGE.replace("/messages/", "/uploads/")):
        assert not allowed(deployment, role, "s3:GetObject", resource)
    for prefix, listed in (("acme/chat/", True), ("acme/analytics/x/", True), ("acme/exports/", True), ("", False)):
        bucket = "arn:aws:s3:::makoto-data"
        assert allowed(deployment, role, "s3:ListBucket", bucket, s3_prefix=prefix) == listed
    assert not allowed(deployment, role, "s3:ListBucket", "arn:aws:s3:::makoto-data")


@pytest.mark.parametrize("role", ["WorkerRole", "JobRole"])
def test_worker_and_job_write_only_tables(deployment: Deployment, role: str) -> None:
    for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"):
        assert allowed(deployment, role, action, TABLES)
    assert not allowed(deployment, role, "s3:PutObject", "arn:aws:s3:::makoto-data/acme/other/x")


def test_message_bucket_is_read_only_with_a_separate_output_bucket() -> None:
    deployment = read_deployment(parameters=PARAMETERS | {"OutputBucketName": "makoto-tables", "DataPrefix": "raw/"})
    for role in ("WorkerRole", "JobRole"):
        assert not allowed(deployment, role, "s3:PutObject", TABLES)
        assert allowed(deployment, role, "s3:PutObject", TABLES.replace("makoto-data", "makoto-tables"))
        assert not allowed(deployment, role, "s3:GetObject", MESSAGE)
        assert allowed(deployment, role, "s3:GetObject", MESSAGE.replace("makoto-data/", "makoto-data/raw/"))


def test_dispatcher_only_reads_tenants_and_sends_to_the_queue(deployment: Deployment) -> None:
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
def test_worker_and_watcher_write_only_ledger_items(deployment: Deployment, role: str) -> None:
    for action in ("dynamodb:GetItem", "dynamodb:PutItem"):
        assert allowed(deployment, role, action, TABLE, dynamodb_LeadingKeys=["TENANT#acme#BATCH"])
    for partition in ("SYSTEM#TENANTS", "TENANT#acme", "TENANT#acme#USER#u1"):
        assert not allowed(deployment, role, "dynamodb:PutItem", TABLE, dynamodb_LeadingKeys=[partition])
    assert not allowed(deployment, role, "dynamodb:DeleteItem", TABLE, dynamodb_LeadingKeys=["TENANT#acme#BATCH"])
    assert not allowed(deployment, role, "dynamodb:PutItem", TABLE)


@pytest.mark.parametrize(("discovery", "readable"), [("listing", False), ("metadata", True)])
def test_rooms_are_readable_only_with_metadata_discovery(discovery: str, readable: bool) -> None:
    deployment = read_deployment(parameters=PARAMETERS | {"Discovery": discovery})
    for role in ("WorkerRole", "JobRole"):
        rooms = ["TENANT#acme#USER#u1"]
        assert allowed(deployment, role, "dynamodb:Query", TABLE, dynamodb_LeadingKeys=rooms) == readable


GLUE = "arn:aws:glue:ap-northeast-1:123456789012"
REGISTER = ("glue:GetDatabase", "glue:CreateDatabase", "glue:GetTable", "glue:CreateTable", "glue:UpdateTable")


@pytest.mark.parametrize(("prefix", "registers"), [("chat", True), ("", False)])
def test_only_databases_of_the_prefix_are_registered_and_only_if_there_is_one(prefix: str, registers: bool) -> None:
    deployment = read_deployment(parameters=PARAMETERS | {"GluePrefix": prefix})
    for action in REGISTER:
        for resource in ("catalog", "database/chat_acme", "table/chat_acme/messages"):
            for role in ("WorkerRole", "JobRole"):
                assert allowed(deployment, role, action, f"{GLUE}:{resource}") == registers
            for role in ("DispatcherRole", "WatcherRole", "SchedulerRole"):
                assert not allowed(deployment, role, action, f"{GLUE}:{resource}")
    for role in ("WorkerRole", "JobRole"):
        for resource in ("database/sales", "table/sales/messages", "database/chats", "table/chat/messages"):
            assert not allowed(deployment, role, "glue:UpdateTable", f"{GLUE}:{resource}")
        for action in ("glue:DeleteTable", "glue:DeleteDatabase", "glue:UpdateDatabase", "glue:GetTables"):
            assert not allowed(deployment, role, action, f"{GLUE}:table/chat_acme/messages")


def test_watcher_reads_receipts_but_no_tables(deployment: Deployment) -> None:
    assert allowed(deployment, "WatcherRole", "s3:GetObject", RECEIPT)
    assert not allowed(deployment, "WatcherRole", "s3:GetObject", TABLES)
    assert not allowed(deployment, "WatcherRole", "s3:PutObject", RECEIPT)
    for prefix, listed in (("acme/analytics/_receipts/2025-08-12/r.json", True), ("acme/analytics/messages/", False)):
        assert (
            allowed(deployment, "WatcherRole", "s3:ListBucket", "arn:aws:s3:::makoto-data", s3_prefix=prefix) == listed
        )


@pytest.mark.parametrize("posts", [True, False])
def test_only_a_watcher_that_posts_reads_the_webhook_url_and_claims_the_night(posts: bool) -> None:
    secret = PARAMETERS["NotifySecretArn"]
    deployment = read_deployment(parameters=PARAMETERS | {"NotifySecretArn": secret if posts else ""})
    assert allowed(deployment, "WatcherRole", "secretsmanager:GetSecretValue", secret) == posts
    assert not allowed(deployment, "WatcherRole", "secretsmanager:GetSecretValue", f"{secret}x")
    assert not allowed(deployment, "WatcherRole", "secretsmanager:PutSecretValue", secret)
    for action in ("dynamodb:GetItem", "dynamodb:PutItem"):
        assert allowed(deployment, "WatcherRole", action, TABLE, dynamodb_LeadingKeys=["BATCH"]) == posts
    for role in ("DispatcherRole", "WorkerRole", "JobRole"):
        assert not allowed(deployment, role, "secretsmanager:GetSecretValue", secret)
        assert not allowed(deployment, role, "dynamodb:PutItem", TABLE, dynamodb_LeadingKeys=["BATCH"])


def test_only_the_worker_passes_only_the_job_role(deployment: Deployment) -> None:
    context = {"aws:SourceAccount": "123456789012", "aws:SourceArn": deployment.application.arn}
    worker = deployment.roles["WorkerRole"].policies
    passable = {
        (name, service)
        for name, role in deployment.roles.items()
        for service in ("emr-serverless.amazonaws.com", "lambda.amazonaws.com", "scheduler.amazonaws.com")
        if may_pass_role(worker, role=role, service=service, context=context)
    }
    assert passable == {("JobRole", "emr-serverless.amazonaws.com")}
    others = [role.policies for name, role in deployment.roles.items() if name != "WorkerRole"]
    job = deployment.roles["JobRole"]
    assert not any(
        may_pass_role(each, role=job, service="emr-serverless.amazonaws.com", context=context) for each in others
    )


def test_other_application_cannot_assume_the_job_role(deployment: Deployment) -> None:
    worker, job = deployment.roles["WorkerRole"].policies, deployment.roles["JobRole"]
    other = {"aws:SourceAccount": "123456789012", "aws:SourceArn": f"{deployment.application.arn}x"}
    assert not may_pass_role(worker, role=job, service="emr-serverless.amazonaws.com", context=other)


def test_jobs_start_only_in_this_application(deployment: Deployment) -> None:
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


def test_kms_key_is_usable_only_through_s3(deployment: Deployment) -> None:
    key = PARAMETERS["KmsKeyArn"]
    for role in ("WorkerRole", "WatcherRole", "JobRole"):
        assert allowed(deployment, role, "kms:Decrypt", key, kms_ViaService="s3.ap-northeast-1.amazonaws.com")
        assert not allowed(deployment, role, "kms:Decrypt", key, kms_ViaService="sqs.ap-northeast-1.amazonaws.com")
        assert not allowed(deployment, role, "kms:Decrypt", key)
    assert not allowed(deployment, "DispatcherRole", "kms:Decrypt", key)


@pytest.mark.parametrize(
    ("role", "function"),
    [("DispatcherRole", "dispatcher"), ("WorkerRole", "processor"), ("WatcherRole", "watcher")],
)
def test_function_writes_only_its_own_log(deployment: Deployment, role: str, function: str) -> None:
    for name in ("dispatcher", "processor", "watcher"):
        group = f"arn:aws:logs:ap-northeast-1:123456789012:log-group:/aws/lambda/makoto-daily-batch-{name}"
        assert allowed(deployment, role, "logs:PutLogEvents", f"{group}:log-stream:x") == (name == function)
        assert not allowed(deployment, role, "logs:DeleteLogGroup", group)


def test_documentation_lists_every_statement(statements: list[Statement]) -> None:
    assert read_table(DOCS.read_text(encoding="utf-8")) == {
        (each.role, each.sid): tuple(sorted(each.actions)) for each in statements
    }


def read_table(text: str) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the actions by role and Sid of a table whose rows name one or more roles; each row must have a reason."""
    _, header, table = text.partition("| who | Sid | actions | why |\n")
    assert header, f"{DOCS.name} has no table of permissions"
    rows = {}
    for line in table.splitlines()[1:]:
        if not line.startswith("|"):
            break
        roles, sid, actions, reason = (cell.strip() for cell in line.strip("|").split("|"))
        assert reason, f"{roles} {sid} has no reason"
        for role in roles.split(", "):
            rows[role, sid.strip("`")] = tuple(sorted(re.findall(r"`([^`]+)`", actions)))
    return rows

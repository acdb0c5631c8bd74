"""Derive from an AWS request the actions that IAM must allow, with their resources and condition keys.

Only the requests that the product makes are supported. Any other becomes an action that no policy allows.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

from tests.local_cloud.aws.iam.conditions import Context
from tests.local_cloud.aws.protocol.request import AwsRequest


@dataclass(frozen=True, kw_only=True)
class Action:
    """What IAM decides on: `name` is an action such as s3:GetObject, `resource` an ARN."""

    name: str
    resource: str
    context: Context = field(default_factory=dict)


def derive_actions(request: AwsRequest, *, account: str) -> list[Action]:
    """Return the actions of a request, each of which must be allowed."""
    derive = _DERIVERS.get(request.service)
    actions = list(derive(request, f"{request.region}:{account}")) if derive else []
    unknown = f"{request.service}:unknown {request.method} {request.path} {request.operation}".rstrip()
    return actions or [Action(name=unknown, resource="*")]


def _s3(request: AwsRequest, _: str) -> Iterator[Action]:
    bucket, _, key = request.path.lstrip("/").partition("/")
    if not bucket:
        return
    action = _on_object(request) if key else _on_bucket(request)
    if action == "s3:DeleteObject" and not key:
        for each in _deleted_keys(request.body):
            yield Action(name=action, resource=f"arn:aws:s3:::{bucket}/{each}")
    elif action:
        yield Action(
            name=action,
            resource=f"arn:aws:s3:::{bucket}" + (f"/{key}" if key else ""),
            context={} if key else _listing_context(request.query),
        )
    if source := request.headers.get("x-amz-copy-source"):
        yield Action(name="s3:GetObject", resource=f"arn:aws:s3:::{unquote(source).lstrip('/')}")


def _on_bucket(request: AwsRequest) -> str | None:
    subresources = set(request.query)
    if request.method == "HEAD" or (request.method == "GET" and subresources <= _LISTING):
        return "s3:ListBucket"
    if request.method == "POST" and "delete" in subresources:
        return "s3:DeleteObject"
    if request.method == "GET":
        return {"location": "s3:GetBucketLocation", "uploads": "s3:ListBucketMultipartUploads"}.get(min(subresources))
    return None


def _on_object(request: AwsRequest) -> str | None:
    upload = "uploadId" in request.query
    subresources = set(request.query) - {"uploadId", "partNumber", "uploads", "x-id", "versionId"}
    if subresources:
        return None
    return {
        "GET": "s3:ListMultipartUploadParts" if upload else "s3:GetObject",
        "HEAD": "s3:GetObject",
        "PUT": "s3:PutObject",
        "POST": "s3:PutObject",
        "DELETE": "s3:AbortMultipartUpload" if upload else "s3:DeleteObject",
    }.get(request.method)


_LISTING = {
    *("list-type", "prefix", "delimiter", "max-keys", "continuation-token", "start-after", "encoding-type"),
    *("fetch-owner", "marker", "x-id"),
}


def _listing_context(query: Mapping[str, str]) -> Context:
    return {"s3:prefix": query["prefix"]} if query.get("prefix") else {}


def _deleted_keys(body: bytes) -> Iterator[str]:
    for element in ElementTree.fromstring(body or b"<Delete/>").iter():  # noqa: S314 - sent by our own processes
        if element.tag.rpartition("}")[2] == "Key":
            yield element.text or ""


def _sqs(request: AwsRequest, scope: str) -> Iterator[Action]:
    queue = request.document.get("QueueUrl", "").rpartition("/")[2]
    # A batch operation is authorized as its single action.
    name = request.operation.removesuffix("Batch")
    if name and queue:
        yield Action(name=f"sqs:{name}", resource=f"arn:aws:sqs:{scope}:{queue}")


def _dynamodb(request: AwsRequest, scope: str) -> Iterator[Action]:
    document = request.document
    table = document.get("TableName", "").rpartition("table/")[2]
    if not table:
        return
    index = f"/index/{document['IndexName']}" if "IndexName" in document else ""
    keys = list(_leading_keys(document))
    yield Action(
        name=f"dynamodb:{request.operation}",
        resource=f"arn:aws:dynamodb:{scope}:table/{table}{index}",
        context={"dynamodb:LeadingKeys": keys} if keys else {},
    )


def _leading_keys(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the values of the partition key, PK, in an item or in a query's condition."""
    item = document.get("Key") or document.get("Item") or {}
    if "PK" in item:
        yield item["PK"]["S"]
    names, values = document.get("ExpressionAttributeNames", {}), document.get("ExpressionAttributeValues", {})
    for name, value in re.findall(r"(#?\w+)\s*=\s*(:\w+)", document.get("KeyConditionExpression", "")):
        if names.get(name, name) == "PK":
            yield values[value]["S"]


def _emr_serverless(request: AwsRequest, scope: str) -> Iterator[Action]:
    path = re.fullmatch(r"/applications/([0-9a-z]+)(/jobruns(?:/([0-9a-z]+))?)?/?", request.path)
    if path is None:
        return
    application, below, run = path.groups()
    arn = f"arn:aws:emr-serverless:{scope}:/applications/{application}"
    method = request.method
    if run:
        names = {"GET": "GetJobRun", "DELETE": "CancelJobRun"}
        arn += f"/jobruns/{run}"
    else:
        names = {"GET": "ListJobRuns", "POST": "StartJobRun"} if below else {"GET": "GetApplication"}
    if method not in names:
        return
    yield Action(name=f"emr-serverless:{names[method]}", resource=arn)
    if names[method] == "StartJobRun":
        yield from _implied_by_start(request.document, arn)


def _implied_by_start(document: Mapping[str, Any], application: str) -> Iterator[Action]:
    if tags := document.get("tags"):
        # AWS does not document which of the two resources a new job run's tags are checked against.
        for resource in (application, f"{application}/jobruns/new"):
            yield Action(name="emr-serverless:TagResource", resource=resource, context={"aws:TagKeys": list(tags)})
    yield Action(
        name="iam:PassRole",
        resource=str(document.get("executionRoleArn", "")),
        context={"iam:PassedToService": "emr-serverless.amazonaws.com"},
    )


def _logs(request: AwsRequest, scope: str) -> Iterator[Action]:
    document = request.document
    group = document.get("logGroupName", "")
    if request.operation == "DescribeLogGroups":
        yield Action(name="logs:DescribeLogGroups", resource=f"arn:aws:logs:{scope}:log-group::log-stream:")
    elif group:
        stream = f":log-stream:{document['logStreamName']}" if request.operation == "PutLogEvents" else ":*"
        yield Action(name=f"logs:{request.operation}", resource=f"arn:aws:logs:{scope}:log-group:{group}{stream}")


_DERIVERS: dict[str, Callable[[AwsRequest, str], Iterator[Action]]] = {
    "s3": _s3,
    "sqs": _sqs,
    "dynamodb": _dynamodb,
    "emr-serverless": _emr_serverless,
    "logs": _logs,
}

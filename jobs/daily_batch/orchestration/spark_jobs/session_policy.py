"""What a job of one tenant-day may do: its own tenant's prefixes, its code and its log, and nothing else.

EMR Serverless grants a job what both its role and this policy allow (StartJobRun's executionIamPolicy).
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from daily_batch.domain.keys import analytics_folder, export_root
from daily_batch.domain.request import Request
from daily_batch.domain.url import StorageUrl
from daily_batch.errors import TerminalError, UsageError

# Of executionIamPolicy.policy, in characters.
LONGEST = 2_048
# A prefix with one of these would be a pattern, or a variable, in a policy.
_PATTERN = re.compile(r"[*?$]")
_ROLE = re.compile(r"arn:(?P<partition>aws[a-z-]*):iam::(?P<account>[0-9]{12}):role/.+")
WRITE = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload")


@dataclass(frozen=True, kw_only=True)
class Account:
    """Where ARNs lie."""

    partition: str
    region: str
    number: str

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource of a region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.number}:{resource}"

    def objects(self, url: StorageUrl, below: str = "") -> str:
        """The ARN of all objects below a prefix of a storage URL.

        Raises:
            UsageError: the URL is none of S3, or a policy would read its prefix as a pattern.
        """
        return f"{self.bucket(url)}/{prefix_of(url, below)}"

    def bucket(self, url: StorageUrl) -> str:
        """The ARN of a storage URL's bucket."""
        return f"arn:{self.partition}:s3:::{url.bucket}"


def read_account(role_arn: str, region: str) -> Account:
    """The account of a role.

    Raises:
        UsageError: it is no role's ARN.
    """
    role = _ROLE.fullmatch(role_arn)
    if role is None:
        raise UsageError(
            "emr_job_role_arn is no role's ARN", next_step="set MAKOTO_EMR_JOB_ROLE_ARN as docs/deploy-aws.md"
        )
    return Account(partition=role["partition"], region=region, number=role["account"])


def prefix_of(url: StorageUrl, below: str = "") -> str:
    """All keys below a folder of a storage URL, as a policy writes them.

    Raises:
        UsageError: see `Account.objects`.
    """
    if url.kind != "s3" or _PATTERN.search(url.path):
        raise UsageError(f"{url} cannot be named in a job's policy", next_step="use s3://bucket/prefix of plain names")
    return "/".join(part for part in (url.path, below, "*") if part)


def session_policy(
    request: Request,
    account: Account,
    *,
    export_template: str,
    package: StorageUrl,
    log_group: str = "",
    kms_key_arn: str = "",
    rooms_table: str = "",
) -> str:
    """The policy of a request's job, as JSON.

    Args:
        package: where the job's code lies.
        rooms_table: the DynamoDB table in which the job looks for the tenant's rooms, if it does.

    Raises:
        Terminal: it is longer than the service takes; a wider one is never used instead.
        UsageError: see `Account.objects`.
    """
    statements = [
        *_on_objects(request, account, export_template, package),
        *(_on_log(account, log_group) if log_group else ()),
        *(_on_rooms(account, request.tenant, rooms_table) if rooms_table else ()),
    ]
    if kms_key_arn:
        statements.append(_allow(("kms:Decrypt", "kms:GenerateDataKey"), kms_key_arn))
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))
    if len(policy) > LONGEST:
        raise TerminalError(
            f"the job's policy has {len(policy):,} characters, and EMR Serverless takes {LONGEST:,}",
            next_step="shorten the prefixes of input, output and emr_package, or the names of buckets",
        )
    return policy


def _on_objects(
    request: Request, account: Account, export_template: str, package: StorageUrl
) -> Iterator[dict[str, object]]:
    source, target = request.input, request.output
    exports = export_root(export_template).replace("{tenant}", request.tenant)
    read = [f"{request.tenant}/chat", exports]
    analytics = analytics_folder(request.tenant)
    yield _allow("s3:GetObject", *(account.objects(source, each) for each in read), account.objects(package))
    listed = {prefix_of(source, each): None for each in read} | {prefix_of(target, analytics): None}
    yield {
        **_allow("s3:ListBucket", *dict.fromkeys((account.bucket(source), account.bucket(target)))),
        "Condition": {"StringLike": {"s3:prefix": list(listed)}},
    }
    yield _allow(WRITE, account.objects(target, analytics))


def _on_log(account: Account, log_group: str) -> Iterator[dict[str, object]]:
    actions = ("logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents")
    yield _allow(actions, account.arn("logs", f"log-group:{log_group}:*"))
    yield _allow("logs:DescribeLogGroups", account.arn("logs", "*"))  # it knows no narrower resource


def _on_rooms(account: Account, tenant: str, table: str) -> Iterator[dict[str, object]]:
    keys = [f"TENANT#{tenant}", f"TENANT#{tenant}#USER#*"]
    yield {
        **_allow("dynamodb:Query", account.arn("dynamodb", f"table/{table}")),
        "Condition": {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": keys}},
    }


def _allow(actions: str | tuple[str, ...], *resources: str) -> dict[str, object]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources[0] if len(resources) == 1 else resources}

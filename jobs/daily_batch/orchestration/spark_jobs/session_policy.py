"""Build a job's session policy, which restricts it to its own tenant's prefixes, its code and its log.

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

# The service's limit for executionIamPolicy.policy, in characters.
MAX_POLICY_LENGTH = 2_048
# Characters that a policy would read as a pattern or a variable.
_PATTERN = re.compile(r"[*?$]")
_ROLE = re.compile(r"arn:(?P<partition>aws[a-z-]*):iam::(?P<account>[0-9]{12}):role/.+")
GLUE = ("glue:GetDatabase", "glue:CreateDatabase", "glue:GetTable", "glue:CreateTable", "glue:UpdateTable")
WRITE = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload")


@dataclass(frozen=True, kw_only=True)
class Account:
    """An AWS account in one region, as ARNs name it."""

    partition: str
    region: str
    number: str

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a regional resource."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.number}:{resource}"

    def objects(self, url: StorageUrl, below: str = "") -> str:
        """Return the ARN of all objects below a prefix of a storage URL.

        Raises:
            UsageError: The URL is not in S3, or a policy would read its prefix as a pattern.
        """
        return f"{self.bucket(url)}/{prefix_of(url, below)}"

    def bucket(self, url: StorageUrl) -> str:
        """Return the ARN of a storage URL's bucket."""
        return f"arn:{self.partition}:s3:::{url.bucket}"


def parse_account(role_arn: str, region: str) -> Account:
    """Return the account of a role.

    Raises:
        UsageError: `role_arn` is not the ARN of a role.
    """
    role = _ROLE.fullmatch(role_arn)
    if role is None:
        raise UsageError(
            "emr_job_role_arn is not a role's ARN",
            next_step="set MAKOTO_EMR_JOB_ROLE_ARN as in docs/deploy-aws.md",
        )
    return Account(partition=role["partition"], region=region, number=role["account"])


def prefix_of(url: StorageUrl, below: str = "") -> str:
    """Return the pattern of all keys below a folder of a storage URL.

    Raises:
        UsageError: See `Account.objects`.
    """
    if url.kind != "s3" or _PATTERN.search(url.path):
        raise UsageError(
            f"{url} cannot be named in a job's policy", next_step="use s3://bucket/prefix without *, ? and $"
        )
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
    database: str = "",
) -> str:
    """Return the session policy of a request's job, as JSON.

    Args:
        request: The tenant-day.
        account: The account of the job's role.
        export_template: The template of export folders.
        package: The folder of the job's code.
        log_group: The CloudWatch log group of the job's log; empty: none.
        kms_key_arn: The key that encrypts the objects; empty: none.
        rooms_table: The DynamoDB table from which the job reads the tenant's rooms; empty: none.
        database: The tenant's database in the Glue Data Catalog, in which the job registers tables; empty: none. It
            is left out if the policy would be too long.

    Raises:
        TerminalError: The policy exceeds the service's limit. A wider policy is never used instead.
        UsageError: See `Account.objects`.
    """
    statements = [
        *_allow_objects(request, account, export_template, package),
        *(_allow_log(account, log_group) if log_group else ()),
        *(_allow_rooms(account, request.tenant, rooms_table) if rooms_table else ()),
    ]
    if kms_key_arn:
        statements.append(_allow(("kms:Decrypt", "kms:GenerateDataKey"), kms_key_arn))
    if database:
        registers = _write([*statements, _allow_catalog(account, database)])
        # Without the statement the tables are not registered, which is a warning of the job; its day must not fail.
        if len(registers) <= MAX_POLICY_LENGTH:
            return registers
    policy = _write(statements)
    if len(policy) > MAX_POLICY_LENGTH:
        raise TerminalError(
            f"the job's policy has {len(policy):,} characters, and EMR Serverless takes {MAX_POLICY_LENGTH:,}",
            next_step="shorten the prefixes of input, output and emr_package, or the names of buckets",
        )
    return policy


def _write(statements: list[dict[str, object]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))


def _allow_objects(
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


def _allow_log(account: Account, log_group: str) -> Iterator[dict[str, object]]:
    actions = ("logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents")
    yield _allow(actions, account.arn("logs", f"log-group:{log_group}:*"))
    yield _allow("logs:DescribeLogGroups", account.arn("logs", "*"))  # this action has no narrower resource


def _allow_rooms(account: Account, tenant: str, table: str) -> Iterator[dict[str, object]]:
    keys = [f"TENANT#{tenant}", f"TENANT#{tenant}#USER#*"]
    yield {
        **_allow("dynamodb:Query", account.arn("dynamodb", f"table/{table}")),
        "Condition": {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": keys}},
    }


def _allow_catalog(account: Account, database: str) -> dict[str, object]:
    # Glue checks an action on a table for the catalog and the database, too.
    resources = ("catalog", f"database/{database}", f"table/{database}/*")
    return _allow(GLUE, *(account.arn("glue", each) for each in resources))


def _allow(actions: str | tuple[str, ...], *resources: str) -> dict[str, object]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources[0] if len(resources) == 1 else resources}

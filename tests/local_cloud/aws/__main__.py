"""Run a night on the local AWS, from the schedule's event to finished tables, with Lambda, SQS and EMR Serverless.

python -m tests.local_cloud.aws --keep
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.local_cloud.aws.job_package import VERSION, upload_package
from tests.local_cloud.aws.local_aws import LocalAws, serve_aws
from tests.local_cloud.aws.night import AwsNight
from tests.local_cloud.aws.stack import deploy
from tests.local_cloud.aws.tenant_data import upload_samples
from tests.local_cloud.common.cli import LARGE_MESSAGES, ZONE, NightDeployment, PrintLine, make_app

BUCKET = "data"
# Only the night's own day: the days before it have no messages here.
PARAMETERS = {"DataBucketName": BUCKET, "PackageVersion": VERSION, "BatchTimezone": ZONE, "LookBack": "0"}


@contextmanager
def _deploy(folder: Path, print_line: PrintLine) -> Iterator[NightDeployment]:
    extra_environment = {"MAKOTO_LARGE_MESSAGES": LARGE_MESSAGES}
    with serve_aws(folder) as aws:
        print_line(f"S3, SQS, DynamoDB, Logs and EMR Serverless are up at {aws.endpoint}")
        with deploy(aws, parameters=PARAMETERS, more=extra_environment) as stack:
            upload_package(stack, folder)
            functions = ", ".join(each.name for each in stack.deployment.functions.values())
            print_line(f"template.yaml is deployed: {functions}")
            table = stack.deployment.table.name
            names = {"DYNAMODB_TABLE_NAME": table, "S3_BUCKET_NAME": BUCKET, "BATCH_TIMEZONE": ZONE}
            yield NightDeployment(
                cloud=AwsNight(stack),
                upload_samples=lambda day, samples: upload_samples(
                    aws, bucket=BUCKET, table=table, day=day, zone=ZONE, folder=samples
                ),
                describe_calls=lambda: _describe_calls(aws),
                root=f"s3://{BUCKET}",
                variables={**aws.environment(), **names},
                commands=(f"aws s3 ls --recursive s3://{BUCKET}/large/",),
            )


def _describe_calls(aws: LocalAws) -> str:
    calls = aws.calls()
    refused = sum(not call["allowed"] for call in calls)
    return (
        f"{len(calls):,} calls were made with the roles of template.yaml, {refused} of them refused\n"
        f"calls, and the logs of functions and jobs: {aws.folder}"
    )


if __name__ == "__main__":
    make_app(_deploy, description=__doc__, default_folder=Path(".makoto/local-aws"))()

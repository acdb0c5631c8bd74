"""Run a night on the local AWS, from the schedule's event to finished tables, with Lambda, SQS and EMR Serverless.

python -m tests.local_cloud.aws --keep
"""

import shutil
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from daily_batch.domain.calendar import business_day
from tests.local_cloud.aws.job_package import VERSION, upload_package
from tests.local_cloud.aws.local_aws import serve_aws
from tests.local_cloud.aws.night import AwsNight
from tests.local_cloud.aws.stack import deploy
from tests.local_cloud.aws.tenant_data import upload_samples
from tests.local_cloud.common.cli import (
    LARGE_MESSAGES,
    ZONE,
    Folder,
    Keep,
    describe_volumes,
    exit_statuses,
    make_app,
    print_summary,
    serve_until_interrupted,
    timed_printer,
)
from tests.local_cloud.common.night import Night
from tests.local_cloud.common.sample_tenants import SAMPLES

BUCKET = "data"
# Only the night's own day: the days before it have no messages here.
PARAMETERS = {"DataBucketName": BUCKET, "PackageVersion": VERSION, "BatchTimezone": ZONE, "LookBack": "0"}

app = make_app()


@app.command(help=__doc__)
def main(keep: Keep = False, folder: Folder = Path(".makoto/local-aws")) -> None:
    """Run one night."""
    say = timed_printer()
    shutil.rmtree(folder, ignore_errors=True)
    with exit_statuses(folder), ExitStack() as context:
        aws = context.enter_context(serve_aws(folder))
        say(f"S3, SQS, DynamoDB, Logs and EMR Serverless are up at {aws.endpoint}")
        more = {"MAKOTO_LARGE_MESSAGES": LARGE_MESSAGES}
        stack = context.enter_context(deploy(aws, parameters=PARAMETERS, more=more))
        upload_package(stack, folder)
        say(f"template.yaml is deployed: {', '.join(each.name for each in stack.deployment.functions.values())}")
        day = business_day(datetime.now(UTC), offset=-1, zone=ZONE)
        table = stack.deployment.table.name
        truths = upload_samples(aws, bucket=BUCKET, table=table, day=day, zone=ZONE, folder=folder / "input")
        say(f"{len(SAMPLES)} tenants have written on {day}: {describe_volumes(truths)}")
        report = Night(cloud=AwsNight(stack), day=day, tenants=list(SAMPLES), say=say).run()
        print_summary(report, root=f"s3://{BUCKET}")
        calls = aws.calls()
        refused = sum(not call["allowed"] for call in calls)
        print(f"\n{len(calls):,} calls were made with the roles of template.yaml, {refused} of them refused")
        print(f"calls, and the logs of functions and jobs: {aws.folder}")
        if keep:
            names = {"DYNAMODB_TABLE_NAME": table, "S3_BUCKET_NAME": BUCKET, "BATCH_TIMEZONE": ZONE}
            serve_until_interrupted(
                {**aws.environment(), **names}, day=day, more=(f"aws s3 ls --recursive s3://{BUCKET}/large/",)
            )


if __name__ == "__main__":
    app()

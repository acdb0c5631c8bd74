"""A night on an AWS of this machine: from the schedule's event to finished tables, with Lambda, SQS and EMR Serverless.

python -m local_cloud --keep
"""

import shutil
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from daily_batch.days import business_day
from daily_batch.sample import Truth
from local_cloud.aws import LocalAws, serve_aws
from local_cloud.night import Night, NightFailed, NightReport
from local_cloud.package import VERSION, upload_package
from local_cloud.samples import SAMPLES, plant
from local_cloud.stack import deploy

BUCKET = "data"
ZONE = "Asia/Tokyo"
# So that the large tenant of the samples goes to Spark, as one of more than 100,000 messages does.
LARGE_MESSAGES = "2000"
# The night's day alone: those before it have no messages here.
PARAMETERS = {"DataBucketName": BUCKET, "PackageVersion": VERSION, "BatchTimezone": ZONE, "LookBack": "0"}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
Say = Callable[[str], None]


@app.command(help=__doc__)
def main(
    keep: Annotated[bool, typer.Option(help="Leave the servers up until Ctrl-C, and say how to reach them.")] = False,
    folder: Annotated[Path, typer.Option(help="For the calls, logs and jobs of this night; emptied first.")] = Path(
        ".makoto/local-aws"
    ),
) -> None:
    """Run one night."""
    say = _speaker()
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with ExitStack() as context:
            aws = context.enter_context(serve_aws(folder))
            say(f"S3, SQS, DynamoDB, Logs and EMR Serverless are up at {aws.endpoint}")
            more = {"MAKOTO_LARGE_MESSAGES": LARGE_MESSAGES}
            stack = context.enter_context(deploy(aws, parameters=PARAMETERS, more=more))
            upload_package(stack, folder)
            say(f"template.yaml is deployed: {', '.join(each.name for each in stack.deployment.functions.values())}")
            day = business_day(datetime.now(UTC), offset=-1, zone=ZONE)
            table = stack.deployment.table.name
            truths = plant(aws, bucket=BUCKET, table=table, day=day, zone=ZONE, folder=folder / "input")
            say(f"{len(SAMPLES)} tenants have written on {day}: {_volumes(truths)}")
            report = Night(stack=stack, day=day, tenants=list(SAMPLES), say=say).run()
            _show(aws, report, day)
            if keep:
                _keep(aws, table, day)
    except NightFailed as error:
        print(f"{error}\nthe functions' and jobs' logs are in {folder}", file=sys.stderr)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _speaker() -> Say:
    began = time.monotonic()
    return lambda line: print(f"{time.monotonic() - began:6.1f} s  {line}", flush=True)


def _volumes(truths: dict[str, Truth]) -> str:
    told = {tenant: f"{truth.records['seen']:,} records" for tenant, truth in truths.items()}
    return ", ".join(f"{tenant} {told.get(tenant, 'nothing')}" for tenant in SAMPLES)


def _show(aws: LocalAws, report: NightReport, day: date) -> None:
    """The watcher's summary, and where everything is."""
    summary = report.summary
    states = "; ".join(f"{count} {state}" for state, count in sorted(summary["states"].items()))
    print(f"\nthe night of {summary['date']}: {summary['tenants']} tenants: {states}. Late: {summary['late']}")
    for each in summary["attention"]:
        print(f"  look at {each['tenant']}: {each['state']}: {each['note']}")
    print("\ntables (messages, rejects, rooms_daily, users_daily, summary_daily) of each tenant:")
    for tenant in SAMPLES:
        print(f"  s3://{BUCKET}/{tenant}/analytics/")
    calls = aws.calls()
    refused = sum(not call["allowed"] for call in calls)
    print(f"\n{len(calls):,} calls were made with the roles of template.yaml, {refused} of them refused")
    print(f"calls, and the logs of functions and jobs: {aws.folder}")


def _keep(aws: LocalAws, table: str, day: date) -> None:
    """Say how to reach the servers, and wait."""
    variables = {**aws.environment(), "DYNAMODB_TABLE_NAME": table, "S3_BUCKET_NAME": BUCKET, "BATCH_TIMEZONE": ZONE}
    print("\nIn another terminal, in this folder:\n")
    for name, value in variables.items():
        print(f"  export {name}={value}")
    print(f"  .venv/bin/makoto-batch status --tenant {','.join(SAMPLES)} --from {day} --to {day}")
    print(f"  aws s3 ls --recursive s3://{BUCKET}/large/analytics/")
    print("\nThe servers are up until Ctrl-C, and forget everything then.", flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    app()

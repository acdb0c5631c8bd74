"""A job's log in CloudWatch, written with the job's own rights as EMR Serverless writes it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botocore import exceptions as boto  # type: ignore[import-untyped]  # it carries no types

from tests.local_cloud.aws.emr.job_runs import JobRun

# Of one PutLogEvents; the end of a log says most.
MOST_LINES, LONGEST_LINE = 5_000, 8_000


def keep_log(run: JobRun, client: Any, work: Path) -> None:
    """Put the driver's output where the request says; a denied log fails no job."""
    asked = run.request.get("configurationOverrides", {}).get("monitoringConfiguration", {})
    where: Mapping[str, Any] = asked.get("cloudWatchLoggingConfiguration", {})
    if not where.get("enabled"):
        return
    group = where.get("logGroupName", "/aws/emr-serverless")
    parts = (where.get("logStreamNamePrefix"), "applications", run.request["applicationId"], "jobs", run.id)
    prefix = "/".join([*filter(None, parts), "SPARK_DRIVER", f"attempt-{run.attempt}"])
    try:
        client.describe_log_groups(logGroupNamePrefix=group)
        for name in ("stdout", "stderr"):
            _put(client, group, f"{prefix}/{name}", work / name, at=round(run.updated.timestamp() * 1000))
        client.describe_log_streams(logGroupName=group, logStreamNamePrefix=prefix)
    except boto.ClientError:
        return


def _put(client: Any, group: str, stream: str, file: Path, *, at: int) -> None:
    client.create_log_stream(logGroupName=group, logStreamName=stream)
    lines = file.read_text(errors="replace").splitlines() if file.exists() else []
    events = [{"timestamp": at, "message": line[:LONGEST_LINE]} for line in lines[-MOST_LINES:] if line]
    if events:
        client.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)

"""Upload a job's log to CloudWatch Logs with the job's own rights, as EMR Serverless does."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botocore import exceptions as boto

from tests.local_cloud.aws.emr.job_runs import JobRun

# Limits of one PutLogEvents. Of a long log only the end is uploaded, which says most.
MAX_LINES, MAX_LINE_LENGTH = 5_000, 8_000


def upload_log(run: JobRun, client: Any, work: Path) -> None:
    """Upload the driver's output to the log group of the request; a denied upload does not fail the job."""
    monitoring = run.request.get("configurationOverrides", {}).get("monitoringConfiguration", {})
    destination: Mapping[str, Any] = monitoring.get("cloudWatchLoggingConfiguration", {})
    if not destination.get("enabled"):
        return
    group = destination.get("logGroupName", "/aws/emr-serverless")
    parts = (destination.get("logStreamNamePrefix"), "applications", run.request["applicationId"], "jobs", run.id)
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
    events = [{"timestamp": at, "message": line[:MAX_LINE_LENGTH]} for line in lines[-MAX_LINES:] if line]
    if events:
        client.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)

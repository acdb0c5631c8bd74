"""A job's program for the EMR Serverless emulator, which reports what it finds in its environment."""

import io
import sys
import tarfile
import time
from typing import Any

from botocore.exceptions import ClientError

from tests.local_cloud.aws.local_aws import LocalAws
from tests.support.local_cloud.emr_client import get, make_request_with_conf

# It writes its process id, a variable and a packed file to the given key, then sleeps; if the key ends so, it fails.
ENTRY = """
import os, sys, time
import boto3
bucket, key = sys.argv[1:]
lines = [str(os.getpid()), os.environ["FOR_THE_DRIVER"], open("environment/note").read()]
boto3.client("s3", region_name="ap-northeast-1").put_object(Bucket=bucket, Key=key, Body="\\n".join(lines).encode())
if key.endswith("fails"):
    raise LookupError("wrong")
time.sleep(600)
"""


def upload_program(aws: LocalAws) -> None:
    """Upload the entry point and an archive with the file `note`."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        note = tarfile.TarInfo("note")
        note.size = len(b"unpacked")
        archive.addfile(note, io.BytesIO(b"unpacked"))
    for name, body in (("entry.py", ENTRY.encode()), ("note.tar.gz", packed.getvalue())):
        aws.client("s3").put_object(Bucket="data", Key=f"emr/{name}", Body=body)


def make_program_request(key: str, **changes: Any) -> dict[str, Any]:
    """Return a request that runs the program with a key for its output."""
    request = make_request_with_conf(
        "spark.archives=s3://data/emr/note.tar.gz#environment",
        "spark.emr-serverless.driverEnv.FOR_THE_DRIVER=value",
        f"spark.emr-serverless.driverEnv.PYSPARK_DRIVER_PYTHON={sys.executable}",
    )
    request["jobDriver"]["sparkSubmit"]["entryPointArguments"] = ["data", key]
    return request | changes


def read_output(aws: LocalAws, run: str, key: str) -> list[str]:
    """Wait for the program's output and return its lines."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return aws.client("s3").get_object(Bucket="data", Key=key)["Body"].read().decode().split("\n")  # type: ignore[no-any-return]
        except ClientError:
            job_run = get(aws, run)
            assert time.monotonic() < deadline and job_run["state"] not in ("FAILED", "SUCCESS"), job_run
            time.sleep(0.2)

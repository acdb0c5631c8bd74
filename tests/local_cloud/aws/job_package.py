"""Upload the job's package to where the deployment expects it."""

import json
import sys
from pathlib import Path

from daily_batch.domain.url import parse_url
from daily_batch.orchestration.spark_jobs.emr_package import ARCHITECTURES, MANIFEST
from makoto_packaging.environment import pack_thin
from tests.local_cloud.aws.stack import Stack
from tests.local_cloud.common.downloads import ROOT

# Any version works, because the package is uploaded to where the deployment expects it.
VERSION = "0-000000000000"
ENTRY = ROOT / "jobs/daily_messages.py"


def upload_package(stack: Stack, folder: Path) -> None:
    """Upload the entry point and an environment that links to this one, so jobs run the checkout without a build."""
    environment = pack_thin(interpreter=Path(sys.executable), out=folder / "environment.tar.gz")
    put_package(stack, stack.deployment.functions["WorkerFunction"].environment["MAKOTO_EMR_PACKAGE"], environment)


def put_package(stack: Stack, url: str, environment: Path) -> None:
    """Upload an environment as a package of the deployment's application, with its entry point and manifest."""
    package, deployment = parse_url(url), stack.deployment
    manifest = {
        "arch": ARCHITECTURES[deployment.application.architecture],
        "python": deployment.functions["WorkerFunction"].environment["MAKOTO_EMR_PYTHON"],
    }
    files = {each.name: each.read_bytes() for each in (ENTRY, environment)} | {MANIFEST: json.dumps(manifest).encode()}
    for name, body in files.items():
        stack.aws.client("s3").put_object(Bucket=package.bucket, Key=f"{package.path}/{name}", Body=body)

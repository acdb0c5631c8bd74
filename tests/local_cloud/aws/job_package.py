"""The job's package, put where the deployment looks for it."""

import json
import sys
from pathlib import Path

from daily_batch.domain.url import parse_url
from daily_batch.orchestration.spark_jobs.emr_package import ARCHITECTURES, MANIFEST
from makoto_packaging.environment import pack_thin
from tests.local_cloud.aws.stack import Stack
from tests.local_cloud.common.downloads import ROOT

# Any will do here, for it is put where the deployment says.
VERSION = "0-000000000000"
ENTRY = ROOT / "jobs/daily_messages.py"


def upload_package(stack: Stack, folder: Path) -> None:
    """Upload the entry point, and an environment that is this one: of the checkout as it is, with nothing to build."""
    environment = pack_thin(interpreter=Path(sys.executable), out=folder / "environment.tar.gz")
    put_package(stack, stack.deployment.functions["WorkerFunction"].environment["MAKOTO_EMR_PACKAGE"], environment)


def put_package(stack: Stack, url: str, environment: Path) -> None:
    """Upload an environment as a package for the deployment's application, with its entry point and its list."""
    package, deployment = parse_url(url), stack.deployment
    told = {
        "arch": ARCHITECTURES[deployment.application.architecture],
        "python": deployment.functions["WorkerFunction"].environment["MAKOTO_EMR_PYTHON"],
    }
    files = {each.name: each.read_bytes() for each in (ENTRY, environment)} | {MANIFEST: json.dumps(told).encode()}
    for name, body in files.items():
        stack.aws.client("s3").put_object(Bucket=package.bucket, Key=f"{package.path}/{name}", Body=body)

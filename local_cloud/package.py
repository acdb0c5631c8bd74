"""The job's package, put where the deployment looks for it."""

import sys
from pathlib import Path

from daily_batch.paths import parse_url
from deploy.environment import pack_thin
from local_cloud.fetched import ROOT
from local_cloud.stack import Stack

# Any will do here, for it is put where the deployment says.
VERSION = "0-000000000000"
ENTRY = ROOT / "jobs/daily_messages.py"


def upload_package(stack: Stack, folder: Path) -> None:
    """Upload the entry point, and an environment that is this one: of the checkout as it is, with nothing to build."""
    package = parse_url(stack.deployment.functions["WorkerFunction"].environment["MAKOTO_EMR_PACKAGE"])
    client = stack.aws.client("s3")
    for path in (ENTRY, pack_thin(interpreter=Path(sys.executable), out=folder / "environment.tar.gz")):
        client.put_object(Bucket=package.bucket, Key=f"{package.path}/{path.name}", Body=path.read_bytes())

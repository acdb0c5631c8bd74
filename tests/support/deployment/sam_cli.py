"""Run SAM CLI and cfn-lint in their own environment, because they pin click below what the command line needs."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.own_environment import create_environment

ROOT = Path(__file__).parents[3]
CONSTRAINTS = ROOT / "packaging/makoto_packaging/sam-constraints.txt"


def install() -> Path:
    """Return the folder of both programs."""
    return create_environment("sam-cli-1.170.0", CONSTRAINTS, ["aws-sam-cli", "cfn-lint"])


def run(program: str, arguments: Sequence[str], *, home: Path) -> subprocess.CompletedProcess[str]:
    """Run `sam` or `cfn-lint` in the project's folder without AWS credentials."""
    path = os.pathsep.join([str(install()), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {
        "PATH": path,
        "HOME": str(home),
        "AWS_DEFAULT_REGION": "ap-northeast-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "SAM_CLI_TELEMETRY": "0",
    }
    return subprocess.run(
        [str(install() / program), *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )

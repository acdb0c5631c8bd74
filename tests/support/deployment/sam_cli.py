"""Run SAM CLI and cfn-lint in their own environment, because they pin click below what the command line needs."""

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[3]
CONSTRAINTS = ROOT / "packaging/makoto_packaging/sam-constraints.txt"
FOLDER = ROOT / ".cache/sam-cli-1.170.0"


def install() -> Path:
    """Install both programs once for each version, and return their folder."""
    stamp, constraints = FOLDER / "made-by.txt", CONSTRAINTS.read_text(encoding="utf-8")
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != constraints:
        shutil.rmtree(FOLDER, ignore_errors=True)
        venv.create(FOLDER, with_pip=True)
        pip = [str(FOLDER / "bin/python"), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
        subprocess.run([*pip, "-c", str(CONSTRAINTS), "aws-sam-cli", "cfn-lint"], check=True)
        stamp.write_text(constraints, encoding="utf-8")
    return FOLDER / "bin"


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

"""Run a JavaScript program of a test beside the packages of a local cloud's server."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.local_cloud.common.node import NODE


def ask_program(program: str, script: Path, question: dict[str, Any], *, packages: Path) -> list[Any]:
    """Return the list that a program prints as JSON; it gets the script as its argument and the question as input."""
    result = subprocess.run(
        [NODE, "-e", program, str(script)],
        input=json.dumps(question),
        env=os.environ | {"NODE_PATH": str(packages)},
        capture_output=True,
        text=True,
        check=True,
    )
    answers: list[Any] = json.loads(result.stdout)
    return answers

"""Run the command line, and print the peak memory in bytes as the last line of standard error."""

import re
import resource
import sys
from pathlib import Path

from daily_batch.__main__ import main


def peak_bytes() -> int:
    status = Path("/proc/self/status")
    if status.exists():  # getrusage may include the parent's memory before the fork
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    try:
        main()
    finally:
        print(peak_bytes(), file=sys.stderr)

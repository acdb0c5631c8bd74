"""Scan adversarial texts, each in a process of its own; print the cost of each as a line of JSON.

python -m tests.support.recovery_shapes BYTES SHAPE…
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable

from daily_batch.domain.run import Limits
from daily_batch.pipeline.transform.strict_parser import Scanner

BLANKS = b" \t\r\n\x1e\xef\xbb\xbf"
BUILD: dict[str, Callable[[int], bytes]] = {
    "a string without an end": lambda n: b'{"a":"' + b"x" * n,
    "backslashes without an end": lambda n: b'{"a":"' + b"\\\\" * (n // 2),
    "backslashes": lambda n: b'{"a":"' + b"\\\\" * (n // 2) + b'"}',
    "quotes with a backslash": lambda n: b'{"a":"' + b'\\"' * (n // 2),
    "lone surrogates": lambda n: b'{"a":"' + b"\\ud800" * (n // 6) + b'"}',
    "quotes": lambda n: b'"' * n,
    "NULs": lambda n: b"\0" * n,
    "blank lines": lambda n: b"\n" * n,
    "spaces": lambda n: b" " * n,
    "blank lines behind a broken value": lambda n: b'{"a":x\n' + b" \n" * (n // 2) + b'{"a":1}',
    "blank lines in an array": lambda n: b'[{"a":x}' + b" \n" * (n // 2) + b"x",
    "keys": lambda n: b"{" + b",".join(b'"%d":1' % number for number in range(n // 12)) + b"}",
    "opening brackets": lambda n: b"[" * n,
    "nested objects": lambda n: b'{"a":' * (n // 5),
    "lines that end in an open array": lambda n: b'{"a":[\n' * (n // 7),
    "deep values cut in lines": lambda n: (b'{"a":' * 600 + b"\n") * (n // 3001),
    "broken values on one line": lambda n: b"{x}" * (n // 3),
    "closing before opening": lambda n: b"}{" * (n // 2),
    # Each reject or record of these shapes has only a few bytes.
    "pieces of arrays": lambda n: b'[{"a":1} ' * (n // 9),
    "lines of one bracket": lambda n: b"{\n" * (n // 2),
    "lines of one letter": lambda n: b"x\n" * (n // 2),
    "broken lines": lambda n: b"{x}\n" * (n // 4),
    "cut lines": lambda n: b'{"a":"x\n' * (n // 8),
    "empty objects": lambda n: b"{}" * (n // 2),
    "numbers in an array": lambda n: b"[" + b"1," * (n // 2),
    "records with a surrogate": lambda n: b'{"a":"\\ud800"}\n' * (n // 15),
}
MANY = list(BUILD)[list(BUILD).index("pieces of arrays") :]


class Counted:
    """A text that counts the bytes that are read."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.read = 0

    def __len__(self) -> int:
        return len(self.text)

    def __getitem__(self, part: slice) -> bytes:
        taken = self.text[part]
        self.read += len(taken)
        return taken


def measure(name: str, size: int) -> dict[str, object]:
    """Scan one shape and return its cost."""
    text = Counted(BUILD[name](size))
    checks = count = 0
    in_order = True

    def check() -> None:
        nonlocal checks
        checks += 1

    covered = bytearray()
    at = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    for found in Scanner(text, offset=0, line=1, limits=Limits(), check=check).records(len(text)):  # type: ignore[arg-type]
        count += 1
        if found.length == 1 and found.start < at:
            continue  # the bracket of a broken array, which is reported after its elements
        in_order &= found.start >= at
        covered += text.text[at : found.start].translate(None, BLANKS + b"[],")
        at = found.start + found.length
    cpu_seconds = time.process_time() - started
    left = len(covered) + len(text.text[at:].translate(None, BLANKS + b"[],"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "shape": name,
        "bytes": len(text),
        "found": count,
        "read": text.read,
        "in_order": in_order,
        "left": left,
        "checks": checks,
        "grown_mb": (peak - before) / 1024,
        "seconds": round(cpu_seconds, 2),
    }


def main() -> None:
    """Fork for each shape, so that its memory is measured from its start."""
    size = int(sys.argv[1])
    for name in sys.argv[2:] or BUILD:
        child = os.fork()
        if not child:
            print(json.dumps(measure(name, size)), flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0, name


if __name__ == "__main__":
    main()

"""Read what a process has added to its log."""

from dataclasses import dataclass
from pathlib import Path


@dataclass
class LogTail:
    """A log file and the position up to which it was read, so that a long log is read once."""

    file: Path
    _position: int = 0

    def read_lines(self) -> list[str]:
        """Return the lines since the last call."""
        with self.file.open("rb") as log:
            log.seek(self._position)
            added = log.read()
        self._position += len(added)
        return added.decode(errors="replace").splitlines()

"""How much of a day's text has its rows in memory from the map to the reduce."""

from threading import Lock


class KeptText:
    """A budget of bytes of text, asked by many threads."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._lock = Lock()

    def take(self, size: int) -> bool:
        """Take so many bytes, if they are left."""
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True

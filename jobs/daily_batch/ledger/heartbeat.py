"""The heartbeat: renew the lease of a run in the background, and report its loss."""

import threading
from types import TracebackType

from daily_batch.errors import BatchError, LeaseHeldError
from daily_batch.ledger.entry import Lease
from daily_batch.ledger.ledger import Ledger

# So two renewals may fail before the lease ends.
RENEWALS_PER_LEASE = 3


class Heartbeat:
    """A context that renews the lease, three times in its duration.

    If the ledger does not answer, the next renewal tries again; only a ledger that names another run ends the lease.
    """

    def __init__(self, ledger: Ledger, lease: Lease) -> None:
        self._ledger = ledger
        self._lease = lease
        self._lost: LeaseHeldError | None = None
        self._changing = threading.Lock()  # a renewal must not use the old token while it is raised
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def __enter__(self) -> "Heartbeat":
        """Start to renew."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self._done.set()
        self._thread.join()

    @property
    def lease(self) -> Lease:
        """The lease that is renewed."""
        return self._lease

    def raise_token(self, *, above: int) -> Lease:
        """See `Ledger.raise_token`; renew the returned lease from now on."""
        with self._changing:
            self._lease = self._ledger.raise_token(self._lease, above=above)
        return self._lease

    def check(self) -> None:
        """Check without I/O that no renewal has found the lease lost.

        Raises:
            LeaseHeldError: The lease is lost.
        """
        if self._lost:
            raise self._lost

    def confirm(self) -> None:
        """Check with the ledger, immediately before publishing, that the lease is held.

        Raises:
            LeaseHeldError: Another run has acquired the day.
            RetryableError: The ledger does not answer, so nothing may be published.
        """
        self.check()
        self._ledger.renew(self._lease)

    def _renew(self) -> None:
        pause = self._ledger.lease.total_seconds() / RENEWALS_PER_LEASE
        while not self._done.wait(pause):
            try:
                with self._changing:
                    self._ledger.renew(self._lease)
            except LeaseHeldError as error:
                self._lost = error
                return
            except BatchError:
                continue

"""Keeps a lease while its run is at work: renews it in the background, and says when it is lost."""

import threading
from types import TracebackType

from daily_batch.errors import BatchError, LeaseHeldError
from daily_batch.ledger.entry import Lease
from daily_batch.ledger.ledger import Ledger

# Two renewals may fail before the lease ends.
RENEWALS = 3


class Heartbeat:
    """A context in which the lease is renewed three times in its length.

    A ledger that does not answer is asked again; only one that names another run ends the lease.
    """

    def __init__(self, ledger: Ledger, lease: Lease) -> None:
        self._ledger = ledger
        self._lease = lease
        self._lost: LeaseHeldError | None = None
        self._changing = threading.Lock()  # a renewal must not meet a token that was raised and is not known here yet
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def __enter__(self) -> "Heartbeat":
        """Begin to renew."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Renew no more."""
        self._done.set()
        self._thread.join()

    @property
    def lease(self) -> Lease:
        """The lease that is kept."""
        return self._lease

    def raise_token(self, *, above: int) -> Lease:
        """See `Ledger.raise_token`; the lease that is kept from now on."""
        with self._changing:
            self._lease = self._ledger.raise_token(self._lease, above=above)
        return self._lease

    def check(self) -> None:
        """Return at once if the lease was not lost as far as is known here.

        Raises:
            LeaseHeld: it was.
        """
        if self._lost:
            raise self._lost

    def confirm(self) -> None:
        """Ask the ledger: what follows is published.

        Raises:
            LeaseHeld: another run has taken the lease.
            Retryable: the ledger does not answer, so nothing may be published.
        """
        self.check()
        self._ledger.renew(self._lease)

    def _renew(self) -> None:
        pause = self._ledger.lease.total_seconds() / RENEWALS
        while not self._done.wait(pause):
            try:
                with self._changing:
                    self._ledger.renew(self._lease)
            except LeaseHeldError as error:
                self._lost = error
                return
            except BatchError:
                continue

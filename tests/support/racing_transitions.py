"""Race processes repeatedly for one transition of the ledger."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import Barrier
from typing import Any, NamedTuple

from daily_batch.errors import LeaseHeldError
from daily_batch.ledger import Lease, Ledger
from daily_batch.metadata import MetadataStore
from tests.support.ledger_doubles import DAY, LEASE, Clock, make_receipt

RIVALS = 6
WAIT_SECONDS = 120
_barrier: Barrier


class RoundResult(NamedTuple):
    """Result of one rival in one round.

    Attributes:
        tokens: tokens of the leases that the rival acquired.
        changed: whether the rival made its change.
        still_held: whether the rival can renew its lease after all rivals have finished.
        last_mark: mark of the last change in the ledger at that time.
    """

    tokens: list[int]
    changed: bool
    still_held: bool
    last_mark: str | None


@dataclass
class Run:
    """One rival in one round."""

    ledger: Ledger
    tenant: str
    number: int
    rival: int
    lease: Lease | None = None
    tokens: list[int] = field(default_factory=list)
    changed: bool = False

    @property
    def mark(self) -> str:
        """Value that a change of this round writes to the ledger."""
        return f"round-{self.number}"

    def acquire(self, *, force: bool = False) -> None:
        run_id = f"round-{self.number}-of-{self.rival}-{len(self.tokens)}"
        # A process of another machine, whose state cannot be checked.
        owner = f"machine-{self.rival}:1:1"
        try:
            self.lease = self.ledger.acquire(self.tenant, DAY, owner=owner, run_id=run_id, force=force)
        except LeaseHeldError:
            return
        self.tokens.append(self.lease.token)

    def try_change(self, change: Callable[["Run", Lease], None]) -> bool:
        try:
            if self.lease:
                change(self, self.lease)
        except LeaseHeldError:
            return False
        return self.lease is not None

    def result(self) -> RoundResult:
        still_held = self.try_change(renew)
        entry = self.ledger.find(self.tenant, DAY)
        last_mark = (entry.receipt or entry.handed_over) if entry else None
        return RoundResult(self.tokens, self.changed, still_held, last_mark)


# A scenario waits for all rivals at each `yield`.
Scenario = Callable[[Run], Iterator[None]]


def renew(run: Run, lease: Lease) -> None:
    run.ledger.renew(lease)


def complete(run: Run, lease: Lease) -> None:
    receipt = make_receipt(tenant=lease.tenant, run_id=lease.run_id)
    run.ledger.complete(lease, receipt, receipt_key=run.mark, output_path="out")


def hand_over(run: Run, lease: Lease) -> None:
    run.ledger.hand_over(lease, reason=run.mark, job_token="t", job_id="j")


def fail(run: Run, lease: Lease) -> None:
    run.ledger.fail(lease, "denied")


def acquire(run: Run) -> Iterator[None]:
    """All acquire a day that nobody holds: it is absent in the first round, and its lease has expired in later ones."""
    run.ledger.clock.now += run.number * LEASE * 2  # type: ignore[attr-defined]
    yield
    run.acquire()
    yield


def acquire_failed(run: Run) -> Iterator[None]:
    """All acquire a day that failed in the previous round; the clock does not advance."""
    yield
    run.acquire()
    yield


def seize(run: Run, *, change: Callable[[Run, Lease], None]) -> Iterator[None]:
    """The first holds the lease and makes its change; all others acquire it by force."""
    if run.rival == 0:
        run.acquire(force=True)
    yield
    if run.rival == 0:
        run.changed = run.try_change(change)
    else:
        run.acquire(force=True)
    yield


class Arena(NamedTuple):
    pool: ProcessPoolExecutor

    def race(
        self, connect: Callable[[], MetadataStore], tenants: list[str], scenario: Scenario, *, end: bool = False
    ) -> list[list[RoundResult]]:
        """Run a round for each tenant and return the results of each round's rivals.

        Args:
            end: whether the holder fails its run after each round.
        """
        credentials = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        run = partial(_run_rival, credentials, connect, tenants, scenario, end)
        results_by_rival = list(self.pool.map(run, range(RIVALS)))
        return [list(results) for results in zip(*results_by_rival, strict=True)]


@contextmanager
def open_arena() -> Iterator[Arena]:
    """Start the rivals' processes, which share a barrier."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(RIVALS, spawn, initializer=_set_barrier, initargs=(spawn.Barrier(RIVALS),)) as pool:
        yield Arena(pool)


def _set_barrier(barrier: Any) -> None:
    global _barrier  # a pool passes a barrier to its processes only at their start
    _barrier = barrier


def _run_rival(
    credentials: dict[str, str],
    connect: Callable[[], MetadataStore],
    tenants: list[str],
    scenario: Scenario,
    end: bool,
    rival: int,
) -> list[RoundResult]:
    # The processes started before the test and lack its environment.
    os.environ.update(credentials)
    try:
        return list(_run_rounds(connect(), tenants, scenario, end, rival))
    except Exception as error:
        _barrier.abort()  # else the other rivals wait for this one
        raise RuntimeError(f"rival {rival}: {error!r}") from None


def _run_rounds(
    store: MetadataStore, tenants: list[str], scenario: Scenario, end: bool, rival: int
) -> Iterator[RoundResult]:
    for number, tenant in enumerate(tenants):
        run = Run(Ledger(store=store, clock=Clock(), lease=LEASE), tenant, number, rival)
        for _ in scenario(run):
            _barrier.wait(WAIT_SECONDS)
        yield run.result()
        _barrier.wait(WAIT_SECONDS)
        if end:
            run.try_change(fail)
            _barrier.wait(WAIT_SECONDS)

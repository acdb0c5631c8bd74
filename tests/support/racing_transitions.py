"""Processes that race repeatedly for one transition of the ledger."""

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
_together: Barrier


class RoundResult(NamedTuple):
    """The result of one rival in one round.

    `tokens` are of the takes that succeeded; `landed` says whether the holder's change did, `keeps` whether the lease
    could still be renewed when all were done, and `evidence` is the mark of the last change that the ledger shows then.
    """

    tokens: list[int]
    landed: bool
    keeps: bool
    evidence: str | None


@dataclass
class Run:
    """One rival in one round."""

    ledger: Ledger
    tenant: str
    number: int
    rival: int
    lease: Lease | None = None
    tokens: list[int] = field(default_factory=list)
    landed: bool = False

    @property
    def mark(self) -> str:
        """The value that a change of this round leaves in the ledger."""
        return f"round-{self.number}"

    def acquire(self, *, force: bool = False) -> None:
        run_id = f"round-{self.number}-of-{self.rival}-{len(self.tokens)}"
        # Processes of other machines, of which nothing is known.
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
        keeps = self.try_change(renew)
        entry = self.ledger.find(self.tenant, DAY)
        evidence = (entry.receipt or entry.handed_over) if entry else None
        return RoundResult(self.tokens, self.landed, keeps, evidence)


# At each `yield` a play waits for all rivals.
Play = Callable[[Run], Iterator[None]]


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
    """All acquire a day that nobody holds: first it is absent, later its lease has ended."""
    run.ledger.clock.now += run.number * LEASE * 2  # type: ignore[attr-defined]
    yield
    run.acquire()
    yield


def acquire_failed(run: Run) -> Iterator[None]:
    """All acquire a day that failed in the round before, without any time passing."""
    yield
    run.acquire()
    yield


def seize(run: Run, *, change: Callable[[Run, Lease], None]) -> Iterator[None]:
    """The first holds the lease and makes its change; all others acquire it by force."""
    if run.rival == 0:
        run.acquire(force=True)
    yield
    if run.rival == 0:
        run.landed = run.try_change(change)
    else:
        run.acquire(force=True)
    yield


class Arena(NamedTuple):
    pool: ProcessPoolExecutor

    def race(
        self, connect: Callable[[], MetadataStore], tenants: list[str], play: Play, *, end: bool = False
    ) -> list[list[RoundResult]]:
        """Return each rival's result in each round, one round for each tenant; `end`: the holder then fails its run."""
        credentials = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        work = partial(_join, credentials, connect, tenants, play, end)
        by_rival = list(self.pool.map(work, range(RIVALS)))
        return [list(told) for told in zip(*by_rival, strict=True)]


@contextmanager
def open_arena() -> Iterator[Arena]:
    """Start processes that wait for one another."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(RIVALS, spawn, initializer=_share, initargs=(spawn.Barrier(RIVALS),)) as pool:
        yield Arena(pool)


def _share(together: Any) -> None:
    global _together  # a pool hands a barrier to its processes only when they start
    _together = together


def _join(
    credentials: dict[str, str],
    connect: Callable[[], MetadataStore],
    tenants: list[str],
    play: Play,
    end: bool,
    rival: int,
) -> list[RoundResult]:
    # The processes started before the test, so they lack its environment.
    os.environ.update(credentials)
    try:
        return list(_play(connect(), tenants, play, end, rival))
    except Exception as error:
        _together.abort()  # or the others would wait for this one
        raise RuntimeError(f"rival {rival}: {error!r}") from None


def _play(store: MetadataStore, tenants: list[str], play: Play, end: bool, rival: int) -> Iterator[RoundResult]:
    for number, tenant in enumerate(tenants):
        run = Run(Ledger(store=store, clock=Clock(), lease=LEASE), tenant, number, rival)
        for _ in play(run):
            _together.wait(WAIT_SECONDS)
        yield run.result()
        _together.wait(WAIT_SECONDS)
        if end:
            run.try_change(fail)
            _together.wait(WAIT_SECONDS)

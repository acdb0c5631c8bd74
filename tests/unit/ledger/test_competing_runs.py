"""Competing runs of one day against a model: tokens grow, and only the last holder changes the day."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from daily_batch.errors import LeaseHeldError
from daily_batch.ledger import Lease, Ledger
from tests.support.ledger_doubles import DAY, ELSEWHERE, LEASE, Clock, MemoryStore, make_receipt

RIVALS = ("a", "b", "c")
ACTIONS = ("acquire", "force", "renew", "raise", "hand_over", "complete", "fail")
STEPS = st.lists(
    # Seconds may be negative: clocks are adjusted, and those of two machines differ.
    st.tuples(st.sampled_from(RIVALS), st.sampled_from(ACTIONS), st.integers(-90, 300)),
    max_size=40,
)


class CompetingRuns:
    """Competing runs of one day, and a model of them: the last holder and the end of its lease."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore()
        self.ledger = Ledger(store=self.store, clock=self.clock, lease=LEASE)
        self.leases: dict[str, Lease] = {}
        self.holder: str | None = None
        self.until = datetime.min.replace(tzinfo=UTC)
        self.tokens: list[int] = []
        self.completed: list[int] = []
        self.runs = 0

    def step(self, rival: str, action: str, seconds: int) -> None:
        self.clock.move(seconds=seconds)
        before = dict(self.store.items)
        allowed = self._is_allowed(rival, action)
        try:
            self._act(rival, action)
        except LeaseHeldError:
            assert not allowed
            assert self.store.items == before
        else:
            assert allowed

    def _is_allowed(self, rival: str, action: str) -> bool:
        if action in ("acquire", "force"):
            return action == "force" or self.holder is None or self.clock.now >= self.until
        return rival == self.holder

    def _act(self, rival: str, action: str) -> None:
        if action in ("acquire", "force"):
            self._acquire(rival, force=action == "force")
            return
        lease, now = self.leases[rival], self.clock.now
        if action == "renew":
            self.ledger.renew(lease)
            self.until = max(self.until, now + LEASE)
        elif action == "raise":
            self.leases[rival] = self.ledger.raise_token(lease, above=lease.token + 2)
            self.tokens.append(self.leases[rival].token)
        elif action == "hand_over":
            self.ledger.hand_over(lease, reason="r", job_token="t", job_id="j")
            self.until = now + LEASE
        else:
            self._end(rival, lease, action)

    def _acquire(self, rival: str, *, force: bool) -> None:
        self.runs += 1
        run_id = f"{rival}{self.runs}"
        self.leases[rival] = self.ledger.acquire("acme", DAY, owner=ELSEWHERE, run_id=run_id, force=force)
        self.tokens.append(self.leases[rival].token)
        self.holder, self.until = rival, self.clock.now + LEASE

    def _end(self, rival: str, lease: Lease, action: str) -> None:
        if action == "complete":
            receipt = make_receipt(run_id=lease.run_id)
            self.ledger.complete(lease, receipt, receipt_key="k", output_path="o")
            self.completed.append(lease.token)
        else:
            self.ledger.fail(lease, "denied")
        del self.leases[rival]  # a run that has ended makes no more changes
        self.holder = None


@given(STEPS)
def test_tokens_grow_and_only_the_last_run_changes_the_day(steps):
    runs = CompetingRuns()
    for rival, action, seconds in steps:
        if action in ("acquire", "force") or rival in runs.leases:
            runs.step(rival, action, seconds)
    assert runs.tokens == sorted(set(runs.tokens))
    assert len(runs.completed) == len(set(runs.completed))
    entry = runs.ledger.find("acme", DAY)
    assert (entry.token if entry else None) == (runs.tokens[-1] if runs.tokens else None)

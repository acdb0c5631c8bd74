"""Drift and damage, dealt out at their rates."""

from collections.abc import Collection
from random import Random

from daily_batch.domain.codes import Reason
from daily_batch.synthetic.columns import Columns
from daily_batch.synthetic.corruption import DAMAGES
from daily_batch.synthetic.rates import FaultRates
from daily_batch.synthetic.schema_drift import DRIFTS


def apply_faults(columns: Columns, rng: Random, rates: FaultRates) -> None:
    """Drift and damage some of the messages, at the given rates."""
    layout = columns.recipe.layout
    taken: dict[str, set[int]] = {}
    for drift in DRIFTS:
        if layout not in drift.layouts:
            continue
        others = taken.setdefault(drift.member, set())
        for at in _choose(rng, len(columns), getattr(rates, drift.rate), others):
            drift.change(columns, at)
            if drift.flag is not None:
                columns.flags.append((drift.flag, at))
    for reason, damages in DAMAGES.items():
        usable = [damage for damage in damages if layout in damage.layouts]
        first = int(rng.random() * len(usable))
        for turn, at in enumerate(_choose(rng, len(columns), getattr(rates, _rate(reason)), columns.lost), first):
            usable[turn % len(usable)].change(columns, at)
            columns.lost[at] = reason


def _rate(reason: Reason) -> str:
    return "outside_window" if reason is Reason.TIMESTAMP_OUTSIDE_WINDOW else reason.value


def _choose(rng: Random, count: int, rate: float, taken: Collection[int]) -> list[int]:
    """Different places at the rate, none of them taken; a set that is given takes them in."""
    wanted = int(count * rate + rng.random()) if rate else 0
    chosen = sorted({int(rng.random() * count) for _ in range(wanted)}.difference(taken))
    if isinstance(taken, set):
        taken.update(chosen)
    return chosen

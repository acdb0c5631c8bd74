"""Synthetic days of any size: deterministic, with fault rates of choice and the expected counts beside the data."""

from daily_batch.synthetic.expected_counts import ExpectedCounts, Tally
from daily_batch.synthetic.spec import FaultRates
from daily_batch.synthetic.write import generate, iterate_objects

__all__ = ["ExpectedCounts", "FaultRates", "Tally", "generate", "iterate_objects"]

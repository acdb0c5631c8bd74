"""Days of messages of any size, deterministic, with chosen rates of faults and the truth beside them."""

from daily_batch.synthetic.expected_counts import Tally, Truth
from daily_batch.synthetic.rates import FaultRates
from daily_batch.synthetic.write import generate, iterate_objects

__all__ = ["FaultRates", "Tally", "Truth", "generate", "iterate_objects"]

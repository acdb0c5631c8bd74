"""Days of messages of any size, deterministic, with chosen rates of faults and the truth beside them."""

from daily_batch.sample.parts import Compression
from daily_batch.sample.rates import FaultRates
from daily_batch.sample.tally import Tally, Truth
from daily_batch.sample.write import generate, iterate_objects

__all__ = ["Compression", "FaultRates", "Tally", "Truth", "generate", "iterate_objects"]

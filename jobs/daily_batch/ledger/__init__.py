"""The ledger: one item for each tenant-day, who works on it, and what came of it."""

from daily_batch.ledger.entry import Entry, Lease, Status
from daily_batch.ledger.item_codec import FoundStrays
from daily_batch.ledger.ledger import Ledger

__all__ = ["Entry", "FoundStrays", "Lease", "Ledger", "Status"]

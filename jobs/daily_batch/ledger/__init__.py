"""The ledger: one item for each tenant-day, with its lease and the result of its last run."""

from daily_batch.ledger.entry import Entry, Lease, Status
from daily_batch.ledger.item_codec import StrayCount
from daily_batch.ledger.ledger import Ledger

__all__ = ["Entry", "Lease", "Ledger", "Status", "StrayCount"]

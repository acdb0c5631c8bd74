"""Open the ledger of the settings."""

from datetime import UTC, datetime, timedelta

from daily_batch.domain.url import StorageUrl
from daily_batch.ledger.ledger import Ledger
from daily_batch.metadata.factory import open_metadata
from daily_batch.settings import Settings


def open_ledger(settings: Settings, output: StorageUrl) -> Ledger:
    """Open the ledger in the metadata store of the settings, or in an SQLite file near the output."""
    lease = timedelta(seconds=settings.lease_seconds)
    return Ledger(store=open_metadata(settings, output), clock=lambda: datetime.now(UTC), lease=lease)

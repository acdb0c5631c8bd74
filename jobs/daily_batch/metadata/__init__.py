"""The metadata store: one small item for each tenant, user, room and tenant-day, in the platform's schema."""

from daily_batch.metadata.store import Item, MetadataStore, VersionConflictError, VersionedItem

__all__ = ["Item", "MetadataStore", "VersionConflictError", "VersionedItem"]

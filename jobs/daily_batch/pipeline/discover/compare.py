"""Compare discovery by metadata with discovery by listing: which of a day's objects would metadata miss?"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from daily_batch.metadata import MetadataStore
from daily_batch.pipeline.discover.listing import Batch, list_messages
from daily_batch.pipeline.discover.listing_errors import check_root, explain_failures
from daily_batch.pipeline.discover.metadata_rooms import MetadataRooms
from daily_batch.pipeline.discover.object_tree import Store, open_tree
from daily_batch.pipeline.discover.walk import walk


class RoomObjects(NamedTuple):
    """A room's prefix and the number of the day's objects in it."""

    room: str
    objects: int


@dataclass(frozen=True, kw_only=True)
class DiscoveryComparison:
    """A tenant-day's rooms by listing and by metadata.

    Listed rooms have at least one object in the day; rooms from metadata may have none, because they were active
    later. `missed` lists the rooms that metadata does not name, sorted by prefix.
    """

    listed_rooms: int
    listed_objects: int
    metadata_rooms: int
    metadata_objects: int
    missed: tuple[RoomObjects, ...]

    @property
    def missed_objects(self) -> int:
        """The number of the day's objects in rooms that metadata does not name."""
        return self.listed_objects - self.metadata_objects


def compare_discovery(
    store: Store,
    metadata: MetadataStore,
    *,
    tenant: str,
    folders: Sequence[str],
    window_us: tuple[int, int],
    concurrency: int,
    day: str = "-",
) -> DiscoveryComparison:
    """List a tenant-day once and compare its rooms with those that metadata names.

    Memory grows with the number of rooms only. Arguments and errors are those of `build_manifest`.
    """
    check_root(store, tenant=tenant, day=day)
    tree = open_tree(store, tenant)
    batches = list_messages(tree, tenant=tenant, folders=folders, window_us=window_us, concurrency=concurrency)
    listed: Counter[str] = Counter()
    for batch in explain_failures(batches, tenant=tenant, day=day):
        if batch.objects:
            listed[_room_of(batch)] += len(batch.objects)
    # Query after the listing, so that a room that became active meanwhile does not count as missed.
    rooms = MetadataRooms(metadata=metadata, tenant=tenant, start_us=window_us[0])
    named_rooms = set(explain_failures(_walk_rooms(rooms, concurrency), tenant=tenant, day=day))
    missed = [RoomObjects(room, count) for room, count in sorted(listed.items()) if room not in named_rooms]
    return DiscoveryComparison(
        listed_rooms=len(listed),
        listed_objects=listed.total(),
        metadata_rooms=len(named_rooms),
        metadata_objects=listed.total() - sum(room.objects for room in missed),
        missed=tuple(missed),
    )


def _room_of(batch: Batch) -> str:
    """Return the prefix of the room that a batch belongs to: `{tenant}/chat/{user}/{room}`."""
    return "/".join(batch.objects[0].key.split("/", 4)[:4])


def _walk_rooms(rooms: MetadataRooms, concurrency: int) -> Iterator[str]:
    def visit(user: str, _: Callable[[str], None]) -> Iterator[str]:
        return rooms.list_rooms(user)

    return walk(rooms.list_users(), visit, workers=concurrency)

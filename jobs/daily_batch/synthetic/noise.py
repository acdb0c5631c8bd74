"""Noise among a day's messages: empty records, other days' messages and files that are no messages."""

from daily_batch.synthetic.day import Day, count_messages, make_columns
from daily_batch.synthetic.expected_counts import Tally
from daily_batch.synthetic.object_keys import Arrival, make_arrivals, random_slots, room_folder

SLACK_MS = 870_000  # within the 900 s that a run reads beyond its day


def add_empty_records(day: Day, block: int, tally: Tally) -> list[Arrival]:
    """Return records without a message; in a file, every record has at least one byte."""
    rng = day.spec.random("empty", block)
    slots = random_slots(rng, day, day.spec.share(day.spec.rates.empty, block), day.edges[block], day.edges[block + 1])
    forms = (b"{}", b"null", b"") if day.spec.layout == "messages" else (b"{}", b"null")
    columns = make_columns(slots, rng, day)
    columns.overrides.update((at, forms[at % len(forms)]) for at in range(len(columns)))
    tally.outcomes["empty"] += len(columns)
    return make_arrivals(day, columns)


def cross_midnight(day: Day, block: int, tally: Tally) -> list[Arrival]:
    """Return objects whose keys and bodies fall on different sides of the day's edges, within the slack."""
    spec, length = day.spec, day.clock.length_ms
    arrivals: list[Arrival] = []
    for edge, side, edge_block in ((0, -1, 0), (length, 1, spec.blocks - 1)):
        if block != edge_block:
            continue
        rng = spec.random("midnight", edge)
        other_day, late_name = (spec.total(rate) + (side < 0) for rate in (spec.rates.other_day, spec.rates.late_name))
        outside = random_slots(rng, day, other_day // 2, *_beside(edge, side))
        key_times = [edge + int((2 * rng.random() - 1) * SLACK_MS) for _ in outside.times]
        arrivals += make_arrivals(day, make_columns(outside, rng, day), key_times=key_times)
        tally.outcomes["other_day"] += len(key_times)
        inside = random_slots(rng, day, late_name // 2, *_beside(edge, -side))
        key_times = [edge + side * (1_000 + int(rng.random() * (SLACK_MS - 1_000))) for _ in inside.times]
        columns = make_columns(inside, rng, day)
        tally.add(count_messages(columns))
        arrivals += make_arrivals(day, columns, key_times=key_times)
    return arrivals


def _beside(edge: int, side: int) -> tuple[int, int]:
    return (edge - SLACK_MS, edge - 1_000) if side < 0 else (edge + 1_000, edge + SLACK_MS)


def add_bystanders(day: Day, block: int) -> list[Arrival]:
    """Return objects that no run of this day may read: a room's other folders, other days, hours beyond the slack."""
    rng = day.spec.random("bystanders", block)
    count = day.spec.share(day.spec.rates.bystanders, block) if day.rooms.sizes else 0
    slots = random_slots(rng, day, count, day.edges[block], day.edges[block + 1])
    hour, length = 3_600_000, day.clock.length_ms
    columns = make_columns(slots, rng, day)
    moved = [-2 * hour - time % (4 * hour) if time % 2 else length + hour + time % (4 * hour) for time in slots.times]
    objects = make_arrivals(day, columns, key_times=moved)
    for first, name in enumerate((b"uploads/photo.png", b"generated/image.png", b"thumbnails/photo.webp")):
        for at in range(first, count, 6):
            objects[at] = (0, room_folder(day, slots.rooms[at]) + name, b"\x89PNG\r\n\x1a\n")
    return [(time, key, record) for time, (_, key, record) in zip(slots.times, objects, strict=True)]

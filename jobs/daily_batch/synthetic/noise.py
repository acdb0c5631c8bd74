"""What lies among a day's messages and is none of them: empty records, other days' messages, other files."""

from daily_batch.synthetic.columns import count, make_columns
from daily_batch.synthetic.day import Day
from daily_batch.synthetic.expected_counts import Tally
from daily_batch.synthetic.object_keys import Arrival, any_slots, arrive, room_folder

SLACK_MS = 870_000  # safely within the 900 s by which a run reads beyond its day


def come_empty(day: Day, block: int, tally: Tally) -> list[Arrival]:
    """Records without a message; a file can hold no record of no bytes."""
    rng = day.spec.random("empty", block)
    slots = any_slots(rng, day, day.spec.share(day.spec.rates.empty, block), day.edges[block], day.edges[block + 1])
    forms = (b"{}", b"null", b"") if day.spec.layout == "messages" else (b"{}", b"null")
    columns = make_columns(slots, rng, day.recipe)
    columns.damaged.update((at, forms[at % len(forms)]) for at in range(len(columns)))
    tally.outcomes["empty"] += len(columns)
    return arrive(day, columns)


def come_across_midnight(day: Day, block: int, tally: Tally) -> list[Arrival]:
    """Objects whose names and bodies fall on different sides of the day's edges, within the slack."""
    spec, length = day.spec, day.recipe.clock.length_ms
    arrivals: list[Arrival] = []
    for edge, side, at_block in ((0, -1, 0), (length, 1, spec.blocks - 1)):
        if block != at_block:
            continue
        rng = spec.random("midnight", edge)
        others, late = (spec.total(rate) + (side < 0) for rate in (spec.rates.other_day, spec.rates.late_name))
        foreign = any_slots(rng, day, others // 2, *_beside(edge, side))
        named = [edge + int((2 * rng.random() - 1) * SLACK_MS) for _ in foreign.times]
        arrivals += arrive(day, make_columns(foreign, rng, day.recipe), named=named)
        tally.outcomes["other_day"] += len(named)
        own = any_slots(rng, day, late // 2, *_beside(edge, -side))
        named = [edge + side * (1_000 + int(rng.random() * (SLACK_MS - 1_000))) for _ in own.times]
        columns = make_columns(own, rng, day.recipe)
        tally.add(count(columns))
        arrivals += arrive(day, columns, named=named)
    return arrivals


def _beside(edge: int, side: int) -> tuple[int, int]:
    return (edge - SLACK_MS, edge - 1_000) if side < 0 else (edge + 1_000, edge + SLACK_MS)


def stand_by(day: Day, block: int) -> list[Arrival]:
    """Objects that no run of this day may read: other folders of a room, other days, hours beyond the slack."""
    rng = day.spec.random("bystanders", block)
    wanted = day.spec.share(day.spec.rates.bystanders, block) if day.recipe.rooms.sizes else 0
    slots = any_slots(rng, day, wanted, day.edges[block], day.edges[block + 1])
    hour, length = 3_600_000, day.recipe.clock.length_ms
    strangers = make_columns(slots, rng, day.recipe)
    moved = [-2 * hour - time % (4 * hour) if time % 2 else length + hour + time % (4 * hour) for time in slots.times]
    messages = arrive(day, strangers, named=moved)
    for at, kind in enumerate((b"uploads/photo.png", b"generated/image.png", b"thumbnails/photo.webp")):
        for number in range(at, wanted, 6):
            messages[number] = (0, room_folder(day, slots.rooms[number]) + kind, b"\x89PNG\r\n\x1a\n")
    return [(time, key, record) for time, (_, key, record) in zip(slots.times, messages, strict=True)]

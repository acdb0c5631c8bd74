"""A day of any size, as objects of single messages or as the files of an export, and the truth beside it."""

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from daily_batch.domain.keys import EXPORT_TEMPLATE, check_tenant, export_folder
from daily_batch.domain.run import Compression, Layout
from daily_batch.errors import UsageError
from daily_batch.synthetic.day import BLOCK_MESSAGES, DaySpec
from daily_batch.synthetic.expected_counts import Tally, Truth
from daily_batch.synthetic.parts import Part, cached_block, write_objects, write_part
from daily_batch.synthetic.rates import FaultRates

FILE_MESSAGES = 100_000  # of an export whose number of files was not given
SAMPLE_DAY = date(2025, 8, 12)
_DEFAULT_RATES = FaultRates()


def generate(
    *,
    messages: int,
    layout: Layout,
    seed: int,
    out: Path,
    tenant: str = "acme",
    day: date = SAMPLE_DAY,
    zone: str = "Asia/Tokyo",
    rates: FaultRates = _DEFAULT_RATES,
    files: int = 0,
    compression: Compression = "gzip",
    workers: int = 1,
) -> Truth:
    """Write a day of `messages` distinct messages under `out`, and its truth to `{out}/{tenant}-truth.json`.

    The same arguments write the same bytes, however many processes (`workers`) do it. What else the rates ask for
    (duplicates, empty records, objects of other days) comes on top of `messages`. `files` (0: by size) and
    `compression` are those of an export. With several workers a script must guard its start (`__name__`).

    Raises:
        UsageError: the tenant, the zone or a number is out of bounds, or the tenant's folder exists already.
    """
    if messages < 0 or files < 0 or workers < 1:
        raise UsageError("a negative number, or no worker", next_step="give --messages from 0 and --workers from 1")
    if (out / check_tenant(tenant)).exists():
        raise UsageError(f"{out / tenant} exists", next_step="give an empty folder", tenant=tenant, day=str(day))
    spec = partial(DaySpec, messages=messages, layout=layout, seed=seed, tenant=tenant, day=day, zone=zone, rates=rates)
    if layout == "messages":
        whole = spec(blocks=_ceil(messages, BLOCK_MESSAGES))
        tally = _run([partial(write_objects, whole, block, out) for block in range(whole.blocks)], workers)
    else:
        count = files or _ceil(messages, FILE_MESSAGES)
        cut = min(count - 1, int(count * rates.unreadable + 0.5))
        per_file = _ceil(_ceil(messages, count - cut), BLOCK_MESSAGES)
        whole = spec(blocks=per_file * (count - cut))
        folder = out / export_folder(EXPORT_TEMPLATE, tenant, day)
        folder.mkdir(parents=True)
        parts = [Part(number, range(number * per_file, (number + 1) * per_file)) for number in range(count - cut)]
        broken = [Part(count - cut + number, parts[number % len(parts)].blocks, cut=True) for number in range(cut)]
        tally = _run([partial(write_part, whole, part, folder, compression) for part in parts + broken], workers)
    truth = tally.truth()
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{tenant}-truth.json").write_text(json.dumps(truth._asdict(), indent=2) + "\n")
    return truth


def iterate_objects(
    *,
    messages: int,
    seed: int,
    tally: Tally,
    tenant: str = "acme",
    day: date = SAMPLE_DAY,
    zone: str = "Asia/Tokyo",
    rates: FaultRates = _DEFAULT_RATES,
) -> Iterator[tuple[str, bytes]]:
    """Keys and bytes of the messages layout, as `generate` would write them; `tally` takes the counts in.

    `tally.truth()` is the whole truth once the iterator is exhausted.
    """
    spec = DaySpec(
        messages=messages,
        layout="messages",
        seed=seed,
        tenant=check_tenant(tenant),
        day=day,
        zone=zone,
        rates=rates,
        blocks=_ceil(messages, BLOCK_MESSAGES),
    )
    for block in range(spec.blocks):
        arrivals, counted = cached_block(spec, block, range(block, block + 1))
        tally.add(counted)
        for _, key, record in arrivals:
            yield key.decode(), record


def _ceil(amount: int, size: int) -> int:
    return max(1, -(-amount // size))


def _run(tasks: Iterable["partial[Tally]"], workers: int) -> Tally:
    total = Tally()
    if workers == 1:
        for task in tasks:
            total.add(task())
        return total
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for tally in pool.map(_call, tasks):
            total.add(tally)
    return total


def _call(task: "partial[Tally]") -> Tally:
    return task()

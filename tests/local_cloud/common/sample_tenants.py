"""Sample tenants of a night: a small one, a large one, one with corrupt data, and one without messages."""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from daily_batch.domain.keys import EXPORT_TEMPLATE, export_folder
from daily_batch.domain.run import Layout
from daily_batch.synthetic import ExpectedCounts, FaultRates, generate


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A tenant's day. `broken` has further objects of the export, by name, that cannot be read."""

    messages: int
    layout: Layout = "messages"
    files: int = 0
    rates: FaultRates = field(default_factory=FaultRates)
    broken: tuple[tuple[str, bytes], ...] = ()


BROKEN = (
    ("no-gzip.jsonl.gz", b"this is no gzip"),
    ("cut.jsonl.gz", gzip.compress(b'{"message_id": "cut", "content": "never seen"}\n' * 50, mtime=0)[:-12]),
    ("nothing.jsonl", b""),
    ("noise.jsonl", bytes(range(128, 256)) * 8),
)
SAMPLES: Mapping[str, Sample] = {
    "small": Sample(messages=150),
    "large": Sample(messages=6_000, layout="export", files=3),
    "poisoned": Sample(messages=300, layout="export", files=3, rates=FaultRates.rich(), broken=BROKEN),
    "empty": Sample(messages=0),
}


def write_samples(
    folder: Path, *, day: date, zone: str, samples: Mapping[str, Sample] = SAMPLES
) -> dict[str, ExpectedCounts]:
    """Write the tenants' objects of a business day in a time zone below a folder.

    Returns:
        What a run of each tenant with messages must report. It counts only those unreadable objects that the generator
        itself truncated.
    """
    expected = {}
    for number, (tenant, sample) in enumerate(samples.items()):
        if not sample.messages:
            continue
        expected[tenant] = generate(
            messages=sample.messages,
            layout=sample.layout,
            seed=number,
            out=folder,
            tenant=tenant,
            day=day,
            zone=zone,
            rates=sample.rates,
            files=sample.files,
        )
        for name, body in sample.broken:
            (folder / export_folder(EXPORT_TEMPLATE, tenant, day) / name).write_bytes(body)
    return expected

"""The command `makoto-batch sample`: a generated day, and its truth for a person or a program."""

from pathlib import Path

from daily_batch.cli.output import guarded, print_json
from daily_batch.domain.calendar import parse_day
from daily_batch.domain.run import Layout
from daily_batch.synthetic import Compression, FaultRates, generate


def sample_command(
    *,
    out: Path,
    messages: int,
    layout: Layout,
    seed: int,
    tenant: str,
    date: str,
    rates: str,
    files: int,
    compression: Compression,
    workers: int,
    as_json: bool,
    debug: bool,
) -> int:
    """Write the day and return the exit status."""

    def write() -> int:
        truth = generate(
            messages=messages,
            layout=layout,
            seed=seed,
            out=out,
            tenant=tenant,
            day=parse_day(date),
            rates=FaultRates.parse(rates),
            files=files,
            compression=compression,
            workers=workers,
        )
        if as_json:
            print_json(truth._asdict())
            return 0
        print(f"wrote {truth.records['seen']:,} records in {truth.objects['listed']:,} objects below {out / tenant}")
        print(f"what a run of the day must report: {out / f'{tenant}-truth.json'}")
        return 0

    return guarded(write, debug=debug)

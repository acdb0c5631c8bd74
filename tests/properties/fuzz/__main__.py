"""Run random days through the kernel and compare them with the oracle; run it from the repository's root:

PYTHONPATH=jobs python -m tests.properties.fuzz --records 200000 --seed 1
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from daily_batch.domain.receipt import Receipt
from daily_batch.pipeline.runners.base import Runner
from tests.properties.fuzz.check import check_day, describe, fault_kind, find_fault, shrink
from tests.properties.fuzz.days import FuzzDay, make_day


def main() -> int:
    """Run days until enough records are processed; return 1 if any day differed."""
    arguments = _parse_arguments()
    layouts = ("export", "messages") if arguments.layout == "both" else (arguments.layout,)
    other_runners = _open_spark() if arguments.runner != "local" else ()
    records = faults = 0
    outcomes: Counter[str] = Counter()
    number, started = arguments.day or 0, time.monotonic()
    while records < arguments.records:
        layout = layouts[number % len(layouts)]
        day = make_day(arguments.seed, number, layout, arguments.per_day)
        records += day.records
        try:
            _add_outcomes(outcomes, check_day(day, other_runners))
        except Exception as error:  # any error is a finding
            faults += 1
            smallest = _shrink_day(day, error, other_runners)
            print(f"== a fault\n{describe(smallest, find_fault(smallest, other_runners) or error)}", flush=True)
        elapsed = time.monotonic() - started
        print(
            f"day {number} ({layout}): {records:,} of {arguments.records:,} records, {faults} faults, {elapsed:.0f} s",
            flush=True,
        )
        number += 1
        if arguments.day is not None or faults >= arguments.faults:
            break
    print(", ".join(f"{name} {count:,}" for name, count in sorted(outcomes.items())))
    return 1 if faults else 0


def _shrink_day(day: FuzzDay, error: Exception, other_runners: Sequence[Runner]) -> FuzzDay:
    kind = fault_kind(error)
    return shrink(day, lambda each: fault_kind(find_fault(each, other_runners)) == kind)


def _add_outcomes(outcomes: Counter[str], receipt: Receipt) -> None:
    """Add up the outcomes of the days, to show what was tried."""
    outcomes.update({f"objects {name}": count for name, count in vars(receipt.objects).items()})
    outcomes.update(vars(receipt.records))
    outcomes.update(receipt.rejects)
    outcomes.update(receipt.flags)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.properties.fuzz", description=__doc__)
    parser.add_argument("--records", type=int, default=20_000, help="stop after this many records")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--day", type=int, help="run only the day with this number")
    parser.add_argument("--layout", choices=("export", "messages", "both"), default="both")
    parser.add_argument(
        "--runner", choices=("local", "spark", "both"), default="local", help="spark runs in addition to local"
    )
    parser.add_argument(
        "--per-day", type=int, default=2_000, help="records per day; a different value gives different days"
    )
    parser.add_argument("--faults", type=int, default=10, help="stop after this many faults")
    return parser.parse_args()


def _open_spark() -> Sequence[Runner]:
    from daily_batch.pipeline.runners.spark import SparkRunner
    from tests.support.spark_session import start_session

    config = {"spark.sql.shuffle.partitions": "4"}
    return [SparkRunner(start_session(warehouse=Path(tempfile.mkdtemp()), extra_conf=config))]


if __name__ == "__main__":
    raise SystemExit(main())

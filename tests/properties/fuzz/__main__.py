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
from tests.properties.fuzz.days import FuzzDay, make_day
from tests.properties.fuzz.judge import check_day, describe, find_fault, kind_of, shrink


def main() -> int:
    """Run days until so many records are done; 1 if any day differed."""
    asked = _arguments()
    layouts = ("export", "messages") if asked.layout == "both" else (asked.layout,)
    beside = _spark() if asked.runner != "local" else ()
    done = faults = 0
    outcomes: Counter[str] = Counter()
    number, began = asked.day or 0, time.monotonic()
    while done < asked.records:
        layout = layouts[number % len(layouts)]
        day = make_day(asked.seed, number, layout, asked.per_day)
        done += day.records
        try:
            _count(outcomes, check_day(day, beside))
        except Exception as error:  # whatever it is, it is a finding
            faults += 1
            small = _shrink_alike(day, error, beside)
            print(f"== a fault\n{describe(small, find_fault(small, beside) or error)}", flush=True)
        spent = time.monotonic() - began
        print(
            f"day {number} ({layout}): {done:,} of {asked.records:,} records, {faults} faults, {spent:.0f} s",
            flush=True,
        )
        number += 1
        if asked.day is not None or faults >= asked.faults:
            break
    print(", ".join(f"{name} {count:,}" for name, count in sorted(outcomes.items())))
    return 1 if faults else 0


def _shrink_alike(day: FuzzDay, error: Exception, beside: Sequence[Runner]) -> FuzzDay:
    kind = kind_of(error)
    return shrink(day, lambda each: kind_of(find_fault(each, beside)) == kind)


def _count(outcomes: Counter[str], receipt: Receipt) -> None:
    """Tell what the days held, so that one can see what was tried."""
    outcomes.update({f"objects {name}": count for name, count in vars(receipt.objects).items()})
    outcomes.update(vars(receipt.records))
    outcomes.update(receipt.rejects)
    outcomes.update(receipt.flags)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.properties.fuzz", description=__doc__)
    parser.add_argument("--records", type=int, default=20_000, help="stop after so many records")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--day", type=int, help="only the day of this number")
    parser.add_argument("--layout", choices=("export", "messages", "both"), default="both")
    parser.add_argument("--runner", choices=("local", "spark", "both"), default="local", help="spark runs beside local")
    parser.add_argument("--per-day", type=int, default=2_000, help="records of a day; part of what makes it")
    parser.add_argument("--faults", type=int, default=10, help="stop after so many")
    return parser.parse_args()


def _spark() -> Sequence[Runner]:
    from daily_batch.pipeline.runners.spark import SparkRunner
    from tests.support.spark_session import start_session

    few = {"spark.sql.shuffle.partitions": "4"}
    return [SparkRunner(start_session(warehouse=Path(tempfile.mkdtemp()), more=few))]


if __name__ == "__main__":
    raise SystemExit(main())

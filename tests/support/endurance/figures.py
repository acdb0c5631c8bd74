"""The figures of a played month as JSON, and of both clouds as the tables of docs/project/endurance-test.md.

python -m tests.support.endurance.figures .makoto/endurance            # prints the tables
python -m tests.support.endurance.figures .makoto/endurance --write    # into the page, between its markers
"""

import argparse
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.support.endurance.player import Player
from tests.support.endurance.usage import Usage

PAGE = Path(__file__).parents[3] / "docs/project/endurance-test.md"
BEGIN = "<!-- tables: begin, python -m tests.support.endurance.figures .makoto/endurance --write -->\n"
END = "<!-- tables: end -->\n"
Figures = Mapping[str, Any]


def collect_figures(
    player: Player, *, cloud: str, states: Mapping[str, int], counted: Figures, usage: Usage
) -> Figures:
    """Return the figures of a month.

    Args:
        cloud: its name.
        states: the number of tenant-days by state.
        counted: what the tables and receipts contain, beside what the script expects.
        usage: the processes' CPU time and memory.
    """
    nights = player.nights
    as_expected = [night for night in nights if night.fired == night.expected]
    return {
        "cloud": cloud,
        "tenants": len(player.month.tenants),
        "days": len(player.month.days),
        "tenant_days": sum(map(len, player.month.days.values())),
        "states": dict(states),
        **counted,
        "nights": {
            str(night.day): {
                "faults": dict(player.count_faults(night.day)),
                "alarms": sorted(night.fired),
                "expected": sorted(night.expected),
                "seconds": round(night.seconds, 1),
            }
            for night in nights
        },
        "nights_as_expected": len(as_expected),
        "faults": dict(sum((player.count_faults(night.day) for night in nights), Counter[str]())),
        "alarms_expected": dict(Counter(alarm for night in nights for alarm in sorted(night.expected))),
        "alarms_fired": dict(Counter(alarm for night in nights for alarm in sorted(night.fired))),
        "seconds": round(usage.elapsed(), 1),
        "cores": os.cpu_count(),
        "cpu_seconds": {role: round(seconds, 1) for role, seconds in usage.seconds().items()},
        "peak_bytes": usage.peak_bytes,
    }


def write_tables(clouds: Mapping[str, Figures]) -> str:
    """Return the page's tables of the figures of each cloud."""
    parts = [_table(clouds), *(_cpu_table(name, each) for name, each in clouds.items()), _fault_table(clouds)]
    return "\n".join(parts)


def _table(clouds: Mapping[str, Figures]) -> str:
    rows: dict[str, Callable[[Figures], str]] = {
        "tenants by days": lambda each: f"{each['tenants']} by {each['days']}",
        "tenant-days": lambda each: f"{each['tenant_days']:,}",
        "completed": lambda each: f"{each['states'].get('COMPLETED', 0):,}",
        "completed with rejects": lambda each: f"{each['states'].get('COMPLETED_WITH_REJECTS', 0):,}",
        "failed, with their cause (the last night's refused days)": lambda each: f"{each['states'].get('FAILED', 0):,}",
        "messages in the tables / in the script": lambda each: _pair(each, "messages"),
        "records rejected / in the script": lambda each: _pair(each, "rejected"),
        "nights with exactly the expected alarms": lambda each: f"{each['nights_as_expected']} of {each['days']}",
        "alarms fired / expected": lambda each: (
            f"{_total(each, 'alarms_fired'):.0f} / {_total(each, 'alarms_expected'):.0f}"
        ),
        "faults injected": lambda each: ", ".join(f"{count} {kind}" for kind, count in sorted(each["faults"].items())),
        "duration, with all checks": lambda each: f"{each['seconds'] / 60:.0f} min on {each['cores']} cores",
        "CPU seconds": lambda each: f"{_total(each, 'cpu_seconds'):,.0f}",
        "CPU seconds per tenant-day": lambda each: f"{_total(each, 'cpu_seconds') / each['tenant_days']:.2f}",
        "resident memory of all processes, at most": lambda each: f"{each['peak_bytes'] / 1e9:.1f} GB",
    }
    lines = [f"| | {' | '.join(clouds)} |", f"|---|{'---:|' * len(clouds)}"]
    lines += [f"| {name} | {' | '.join(map(show, clouds.values()))} |" for name, show in rows.items()]
    return "\n".join(lines) + "\n"


def _cpu_table(name: str, figures: Figures) -> str:
    shares = ", ".join(f"{role} {seconds:,.0f}" for role, seconds in figures["cpu_seconds"].items())
    return f"CPU seconds on {name}: {shares}.\n"


def _fault_table(clouds: Mapping[str, Figures]) -> str:
    """Return a row for each night with a fault or an alarm, with both clouds' alarms where they differ."""
    lines = ["| day | faults | alarms |", "|---|---|---|"]
    nights = next(iter(clouds.values()))["nights"]
    for day, night in nights.items():
        faults = ", ".join(f"{count} {kind}" for kind, count in night["faults"].items())
        alarms = {name: ", ".join(each["nights"][day]["alarms"]) or "none" for name, each in clouds.items()}
        different = len(set(alarms.values())) > 1
        shown = "; ".join(f"{name}: {each}" for name, each in alarms.items()) if different else min(alarms.values())
        if faults or shown != "none":
            lines.append(f"| {day} | {faults} | {shown} |")
    return "\n".join(lines) + "\n"


def _pair(figures: Figures, name: str) -> str:
    return f"{figures[name]:,} / {figures[f'{name}_expected']:,}"


def _total(figures: Figures, name: str) -> float:
    return float(sum(figures[name].values()))


def main() -> None:
    """Print the tables, or write them into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder of the reports, ENDURANCE_REPORT")
    parser.add_argument("--write", action="store_true", help="into docs/project/endurance-test.md, between its markers")
    options = parser.parse_args()
    found = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(options.folder.glob("*Month.json"))]
    clouds = {each["cloud"]: each for each in found}
    if not clouds:
        parser.error(f"{options.folder} has no figures of a month")
    tables = write_tables(clouds)
    if not options.write:
        print(tables)
        return
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}{tables}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()

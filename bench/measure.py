"""Measure whole processes from outside: wall-clock and CPU seconds, and the memory of a process and its descendants."""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.processes import SessionSampler

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache" / "bench"


@dataclass(frozen=True)
class Run:
    """One run of a command; `report` is the JSON document on its standard output, or on the last line of it.

    Attributes:
        cpu_seconds: User and system time of the command and its descendants.
        peak_mib_by_kind: The highest memory of each kind of process (`processes.Kind`), not all at the same time.
    """

    seconds: float
    peak_mib: float
    report: Mapping[str, object]
    cpu_seconds: float = 0.0
    peak_mib_by_kind: Mapping[str, float] = field(default_factory=dict)

    def describe(self) -> str:
        """Return the figures in one line."""
        kinds = ", ".join(f"{kind} {mib:.0f}" for kind, mib in self.peak_mib_by_kind.items())
        return f"{self.seconds:8.1f} s  {self.cpu_seconds:8.1f} CPU s  {self.peak_mib:6.0f} MiB ({kinds})"


@dataclass(frozen=True)
class Contender:
    """A named command; `prepare` runs before each run and is not timed."""

    name: str
    command: Sequence[str]
    prepare: Callable[[], None] = lambda: None


def measure(command: Sequence[str], *, env: Mapping[str, str], log: Path) -> Run:
    """Run a command with its standard error in `log`; if it fails, exit with the last lines of its output."""
    log.parent.mkdir(parents=True, exist_ok=True)
    started, cpu_before = time.perf_counter(), _cpu_of_children()
    with log.open("w") as errors:
        # A session of its own identifies all its descendants, JVM and workers included.
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
        sampler = SessionSampler(process.pid)
        output, _ = process.communicate()
    seconds = time.perf_counter() - started
    usage = sampler.stop()
    # Neither is complete: a parent that is killed passes on no time of its children, and samples miss the last moments.
    cpu_seconds = max(usage.cpu_seconds, _cpu_of_children() - cpu_before)
    if process.returncode:
        tail = "\n".join((log.read_text() + output).splitlines()[-20:])
        sys.exit(f"{' '.join(command)} exited with status {process.returncode}; the end of {log}:\n{tail}")
    return Run(seconds, usage.peak_mib, _last_json(output), cpu_seconds, usage.peak_mib_by_kind)


def alternate(contenders: Sequence[Contender], *, runs: int, env: Mapping[str, str], logs: str) -> dict[str, list[Run]]:
    """Run all contenders in turn, `runs` times, so that a slow phase of the machine affects all of them alike."""
    results: dict[str, list[Run]] = {contender.name: [] for contender in contenders}
    for number in range(1, runs + 1):
        for contender in contenders:
            contender.prepare()
            run = measure(contender.command, env=env, log=CACHE / "logs" / logs / f"{contender.name}-{number}.log")
            results[contender.name].append(run)
            print(f"  run {number} {contender.name:<10} {run.describe()}", flush=True)
    return results


def median(runs: Sequence[Run]) -> Run:
    """Return the median of each figure, with the report of the middle run."""
    middle = sorted(runs, key=lambda run: run.seconds)[len(runs) // 2]
    kinds = {kind for run in runs for kind in run.peak_mib_by_kind}
    return Run(
        statistics.median(run.seconds for run in runs),
        statistics.median(run.peak_mib for run in runs),
        middle.report,
        statistics.median(run.cpu_seconds for run in runs),
        {k: statistics.median(run.peak_mib_by_kind.get(k, 0.0) for run in runs) for k in sorted(kinds)},
    )


def save_figures(name: str, figures: Mapping[str, object]) -> None:
    """Write figures to .cache/bench/results/{name}.json."""
    path = CACHE / "results" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=1, default=str) + "\n")
    print(f"  -> {path.relative_to(ROOT)}")


def save(name: str, *, results: Mapping[str, list[Run]], figures: Mapping[str, object]) -> None:
    """Write all runs and the figures derived from them to .cache/bench/results/{name}.json."""
    runs_by_name = {name: [asdict(run) for run in runs] for name, runs in results.items()}
    save_figures(name, {"machine": machine(), "figures": figures, "runs": runs_by_name})


def machine() -> dict[str, object]:
    """Return a description of the machine."""
    cpuinfo = Path("/proc/cpuinfo")
    models = (
        [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        if cpuinfo.exists()
        else []
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "cpu": models[0] if models else platform.processor(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _cpu_of_children() -> float:
    """Return the CPU seconds of all children that have ended, with those that they waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _last_json(output: str) -> Mapping[str, object]:
    for text in (output, output.strip().rpartition("\n")[2]):
        with suppress(json.JSONDecodeError):
            return dict(json.loads(text))
    return {}

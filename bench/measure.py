"""Measure whole processes from outside: wall-clock seconds, and the memory of a process and its descendants."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache" / "bench"
SAMPLE_SECONDS = 0.25


@dataclass(frozen=True)
class Run:
    """One run of a command; `report` is the JSON document on its standard output, or on the last line of it."""

    seconds: float
    peak_mib: float
    report: Mapping[str, object]


@dataclass(frozen=True)
class Contender:
    """A named command; `prepare` runs before each run and is not timed."""

    name: str
    command: Sequence[str]
    prepare: Callable[[], None] = lambda: None


def measure(command: Sequence[str], *, env: Mapping[str, str], log: Path) -> Run:
    """Run a command with its standard error in `log`; if it fails, exit with the last lines of its output."""
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
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
        peak = _Peak(process.pid)
        output, _ = process.communicate()
    seconds = time.perf_counter() - started
    peak_mib = peak.stop()
    if process.returncode:
        tail = "\n".join((log.read_text() + output).splitlines()[-20:])
        sys.exit(f"{' '.join(command)} exited with status {process.returncode}; the end of {log}:\n{tail}")
    return Run(seconds, peak_mib, _last_json(output))


def alternate(contenders: Sequence[Contender], *, runs: int, env: Mapping[str, str], logs: str) -> dict[str, list[Run]]:
    """Run all contenders in turn, `runs` times, so that a slow phase of the machine affects all of them alike."""
    results: dict[str, list[Run]] = {contender.name: [] for contender in contenders}
    for number in range(1, runs + 1):
        for contender in contenders:
            contender.prepare()
            run = measure(contender.command, env=env, log=CACHE / "logs" / logs / f"{contender.name}-{number}.log")
            results[contender.name].append(run)
            print(f"  run {number} {contender.name:<10} {run.seconds:8.1f} s  {run.peak_mib:8.0f} MiB", flush=True)
    return results


def median(runs: Sequence[Run]) -> Run:
    """Return the median seconds and the median peak, with the report of the middle run."""
    middle = sorted(runs, key=lambda run: run.seconds)[len(runs) // 2]
    return Run(statistics.median(r.seconds for r in runs), statistics.median(r.peak_mib for r in runs), middle.report)


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


class _Peak:
    """Samples the proportional set size of a session's processes; unlike a sum of RSS, it counts shared pages once."""

    def __init__(self, session: int) -> None:
        self.session, self.peak = session, 0.0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._sample, daemon=True)
        self.thread.start()

    def stop(self) -> float:
        self.done.set()
        self.thread.join()
        return self.peak

    def _sample(self) -> None:
        while not self.done.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, sum(_pss_mib(pid) for pid in _session_processes(self.session)))


def _session_processes(session: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # the process ended after the listing
            continue
        if int(fields[3]) == session:
            found.append(int(stat.parent.name))
    return found


def _pss_mib(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _last_json(output: str) -> Mapping[str, object]:
    for text in (output, output.strip().rpartition("\n")[2]):
        with suppress(json.JSONDecodeError):
            return dict(json.loads(text))
    return {}

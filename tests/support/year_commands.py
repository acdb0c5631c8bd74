"""Run maintenance of a year on the counting S3 server, whole or killed at given requests, and read its tables."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from bench.s3_bucket import Bucket as Objects
from daily_batch.domain.contract import TABLES
from tests.support.counting_s3 import NAME, CountingService
from tests.support.day_runs import child_environment
from tests.support.maintenance_days import Tenant
from tests.support.maintenance_year import AGE, PERSON, make_old
from tests.support.s3_bucket import Bucket
from tests.support.spark_session import ROOT

COMMANDS: Mapping[str, Sequence[str]] = {
    "optimize": ("optimize",),
    "vacuum": ("vacuum", "--confirm"),
    "erase": ("erase", "--user", PERSON, "--confirm"),
}
# The number of a table's rows, and a sum of their hashes: of all columns, in any order.
Digest = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class State:
    """What readers see: rows by table, live files by table and day; and how many data files no version names."""

    rows: Mapping[str, Digest]
    files: Mapping[str, Mapping[str, int]]
    unnamed: int


@dataclass
class YearOnS3:
    """A year's tables on the server, and the commands on them."""

    service: CountingService
    endpoint: str
    folder: Path
    peaks: dict[str, int] = field(default_factory=dict)
    requests: dict[str, Counter[str]] = field(default_factory=dict)

    @property
    def bucket(self) -> Bucket:
        return Bucket(self.endpoint, NAME)

    def arguments(self, command: str) -> list[str]:
        flags = ["--tenant", "acme", "--output", f"s3://{NAME}", "--json"]
        ledger = ["--ledger", str(self.folder / "ledger.sqlite")] if command == "erase" else []
        return [*COMMANDS[command], *flags, *ledger]

    def start(self, command: str, **environment: str) -> "subprocess.Popen[str]":
        """Start a command in a process of its own, which prints its peak memory last."""
        (self.folder / "tmp").mkdir(parents=True, exist_ok=True)
        return subprocess.Popen(
            [sys.executable, "-m", "tests.support.measured_run", *self.arguments(command)],
            cwd=ROOT,
            env=child_environment(**self.bucket.environment, TMPDIR=str(self.folder / "tmp"), **environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, command: str) -> None:
        """Run a command to its end; keep its peak memory and its requests."""
        self.service.counts.clear()
        process = self.start(command)
        _, errors = process.communicate()
        assert process.returncode == 0, errors[-3000:]
        self.peaks[command] = int(errors.split()[-1])
        self.requests[command] = self.service.counts.copy()

    def run_killed(self, moments: Sequence[int], start: Callable[[], Any], kill: Callable[[Any], None]) -> int:
        """Run a command once for each moment, and kill it at the request of that number; return how many were hit."""
        struck = 0
        for moment in moments:
            self.service.counts.clear()
            hit = threading.Event()
            self.service.strike, self.service.strike_at = hit.set, moment
            process = start()
            while not hit.wait(0.01) and process.poll() is None:
                pass
            if hit.is_set():
                kill(process)
                struck += 1
            self.service.strike_at = 0
        return struck

    def age(self) -> None:
        """Make all files and commits older than any retention."""
        self.service.save(self.folder / "aged")
        tenant = Tenant(self.folder / "aged")
        make_old(tenant)
        self.service.load(tenant.output, modified=time.time() - AGE.total_seconds())

    def state(self) -> State:
        rows, files, unnamed = {}, {}, 0
        for name, (found, live) in self._read("state").items():
            rows[name] = tuple(found)
            files[name] = dict(Counter(path.partition("/")[0] for path in live))
            root = f"acme/analytics/{name}/"
            stored = {key.removeprefix(root) for key in self._objects().objects if key.startswith(f"{root}date=")}
            assert set(live) <= stored, f"a file of {name} that the log names is missing"
            unnamed += len(stored - set(live))
        return State(rows=rows, files=files, unnamed=unnamed)

    def naming(self, person: str) -> list[str]:
        """Return the keys of all objects that hold the id, also in compressed columns."""
        folder = self.folder / "searched"
        self.service.save(folder)
        found = [
            str(path.relative_to(folder))
            for path in folder.rglob("*")
            if path.is_file() and person.encode() in path.read_bytes()
        ]
        with duckdb.connect() as db:
            for table in TABLES:
                files = f"{folder}/acme/analytics/{table.name}/**/*.parquet"
                source = f"read_parquet('{files}', union_by_name = true, filename = true, hive_partitioning = false)"
                rows = f"SELECT filename, each::VARCHAR AS text FROM {source} AS each"
                query = f"SELECT DISTINCT filename FROM ({rows}) WHERE contains(text, '{person}')"
                found += [name for (name,) in db.execute(query).fetchall()]
        return found

    @contextmanager
    def readers(self, command: str) -> Iterator[set[Digest]]:
        """Read the messages of all other users, again and again; what was seen is in the set after the block.

        Only during an erasure may a read fail, because its files are gone.
        """
        seen: set[Digest] = set()
        what = "watch an erasure" if command == "erase" else "watch"
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "seen").open("w+") as out:
            reader = subprocess.Popen(self._reader(what), cwd=ROOT, stdin=subprocess.PIPE, stdout=out, text=True)
            try:
                yield seen
            finally:
                reader.communicate("")
            assert reader.returncode == 0, "a reader failed"
            out.seek(0)
            seen |= {tuple(json.loads(line)) for line in out}

    def others(self) -> Digest:
        """Return the messages of all users but the person."""
        count, total = self._read("others")
        return count, total

    def _reader(self, what: str) -> list[str]:
        return [sys.executable, "-m", "tests.support.year_reads", self.endpoint, what]

    def _read(self, what: str) -> Any:
        read = subprocess.run(self._reader(what), cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(read.stdout)

    def _objects(self) -> Objects:
        return self.service.buckets[NAME]


def kill(process: "subprocess.Popen[str]") -> None:
    """Kill a command as a machine that is lost."""
    process.send_signal(signal.SIGKILL)
    process.communicate()

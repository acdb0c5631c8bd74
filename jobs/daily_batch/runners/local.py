"""The runner of small days: the kernel in this process, its runs in a temporary folder."""

import time
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from daily_batch.contract import MESSAGES, REJECTS
from daily_batch.kernel.clean import Cleaned, clean_bucket, combine, write_rejects
from daily_batch.kernel.counts import add_counts
from daily_batch.kernel.intake import Taken, take_in
from daily_batch.kernel.recover import read_wanted, recover
from daily_batch.manifest import Manifest, read_manifest
from daily_batch.plan import DayPlan, SourceObject
from daily_batch.runners.outcome import Outcome, Progress
from daily_batch.runners.scratch import make_folder
from daily_batch.storage import Storage


@dataclass(frozen=True)
class LocalRunner:
    """Runs chunks and buckets in a few threads; DuckDB, decompression and fetching all release the interpreter."""

    workers: int = 2
    name: str = "local"

    def run(self, manifest: Manifest, *, plan: DayPlan, storage: Storage, scratch: Path, progress: Progress) -> Outcome:
        """See `outcome.Runner`."""
        source, output = storage.open_input(), storage.open_output()
        started = time.perf_counter()
        with ThreadPoolExecutor(self.workers) as pool:

            def take(chunk: tuple[int, list[SourceObject]]) -> Taken:
                folder = make_folder(scratch / f"chunk-{chunk[0]}")
                return take_in(chunk[1], store=source, plan=plan, scratch=folder)

            def clean(bucket: int) -> Cleaned:
                folder = make_folder(scratch / f"bucket-{bucket}")
                return clean_bucket(bucket, runs[bucket], plan=plan, output=output, scratch=folder)

            taken = []
            for chunk in pool.map(take, read_manifest(manifest.files)):
                taken.append(chunk)
                progress("intake", len(taken), manifest.chunks, "chunks")
            runs: dict[int, list[Path]] = defaultdict(list)
            for bucket, path in (run for chunk in taken for run in chunk.runs):
                runs[bucket].append(path)
            between = time.perf_counter()
            cleaned = []
            for answer in pool.map(clean, sorted(runs)):
                cleaned.append(answer)
                progress("clean", len(cleaned), len(runs), "buckets")
        rejects = [path for chunk in taken for path in chunk.rejects]
        rejects += _recover_wanted(manifest, cleaned, plan=plan, storage=storage, scratch=scratch)
        files = combine([bucket.partials for bucket in cleaned], plan=plan, output=output, scratch=scratch)
        files[MESSAGES.name] = tuple(file for bucket in cleaned for file in bucket.files)
        files[REJECTS.name] = write_rejects(rejects, name="all", plan=plan, output=output, scratch=scratch)
        counts = add_counts([*(chunk.counts for chunk in taken), *(bucket.counts for bucket in cleaned)])
        seconds = {"intake": between - started, "clean": time.perf_counter() - between}
        return Outcome(files=files, counts=counts, seconds=seconds)


def _recover_wanted(
    manifest: Manifest, cleaned: Iterable[Cleaned], *, plan: DayPlan, storage: Storage, scratch: Path
) -> tuple[Path, ...]:
    wanted = read_wanted([bucket.wanted for bucket in cleaned])
    if not wanted:
        return ()
    keys = {place.source_key for place in wanted}
    objects = [item for _, chunk in read_manifest(manifest.files) for item in chunk if item.key in keys]
    return recover(objects, wanted, store=storage.open_input(), plan=plan, scratch=make_folder(scratch / "wanted"))

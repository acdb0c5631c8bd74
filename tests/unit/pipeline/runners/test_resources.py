"""What a process may use, as its function, its containers and the machine say; and how a local run divides it."""

from dataclasses import replace
from pathlib import Path

import pytest

from daily_batch.domain.run import Limits
from daily_batch.errors import HandOverError
from daily_batch.pipeline.discover.manifest import EXPANSION, Manifest
from daily_batch.pipeline.runners.resources import MIB, Resources, measure_memory, measure_resources
from daily_batch.pipeline.runners.size_workers import MOST_BUCKETS, size_workers
from tests.support.run_specs import sample_run_spec

GIB = 2**30


def make_system(root: Path, files: dict[str, str]) -> Path:
    """A root with these files below `proc` and `sys/fs/cgroup`; 8 GiB of 16 are available unless they say else."""
    known = {"proc/meminfo": f"MemTotal: {16 * MIB} kB\nMemAvailable: {8 * MIB} kB\n"}
    for name, text in (known | files).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def in_cgroup(text: str, **limits: str) -> dict[str, str]:
    return {"proc/self/cgroup": text} | {f"sys/fs/cgroup/{path}": limit for path, limit in limits.items()}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({}, 8 * GIB, id="what is available where nothing is limited"),
        pytest.param({"proc/meminfo": f"MemTotal: {16 * MIB} kB\n"}, 16 * GIB, id="all of it, of an old kernel"),
        pytest.param(in_cgroup("0::/\n"), 8 * GIB, id="the top of version 2 has no file"),
        pytest.param(
            in_cgroup("0::/a/b\n", **{"a/b/memory.max": "max\n", "a/memory.max": f"{GIB}\n"}), GIB, id="a cgroup above"
        ),
        pytest.param(
            in_cgroup("0::/a/b\n", **{"a/b/memory.max": f"{GIB}\n", "a/memory.max": f"{2 * GIB}\n"}), GIB, id="its own"
        ),
        pytest.param(in_cgroup("0::/\n", **{"memory.max": f"{99 * GIB}\n"}), 8 * GIB, id="a limit above what there is"),
        pytest.param(
            in_cgroup("4:memory:/a\n0::/\n", **{"memory/a/memory.limit_in_bytes": f"{GIB}\n"}), GIB, id="version 1"
        ),
        pytest.param(
            in_cgroup("4:memory:/a\n", **{"memory/a/memory.limit_in_bytes": "9223372036854771712\n"}),
            8 * GIB,
            id="version 1 without a limit",
        ),
        pytest.param(
            in_cgroup("4:memory:/docker/f00\n", **{"memory/memory.limit_in_bytes": f"{GIB}\n"}),
            GIB,
            id="a container that is shown the machine's path",
        ),
        pytest.param(
            in_cgroup("1:name=x:/\n0::/a\n", **{"unified/a/memory.max": f"{GIB}\n"}), GIB, id="both versions at once"
        ),
    ],
)
def test_memory_is_the_least_that_the_machine_and_every_cgroup_allow(
    tmp_path: Path, files: dict[str, str], expected: int
) -> None:
    assert measure_memory(make_system(tmp_path, files)) == expected


@pytest.mark.parametrize(
    "files",
    [
        in_cgroup("0::/a/b\n", **{"a/b/cpu.max": "max 100000\n", "a/cpu.max": "50000 100000\n"}),
        in_cgroup(
            "2:cpu,cpuacct:/a\n",
            **{"cpu,cpuacct/a/cpu.cfs_quota_us": "70000\n", "cpu,cpuacct/a/cpu.cfs_period_us": "100000\n"},
        ),
    ],
    ids=["version 2", "version 1"],
)
def test_a_part_of_a_core_counts_as_one(tmp_path: Path, files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert measure_resources({}, root=make_system(tmp_path, files)).cores == 1


def test_cores_without_a_limit_are_those_that_the_process_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {1, 5, 6}, raising=False)
    files = in_cgroup("2:cpu:/a\n", **{"cpu/a/cpu.cfs_quota_us": "-1\n", "cpu/a/cpu.cfs_period_us": "100000\n"})
    assert measure_resources({}, root=make_system(tmp_path, files)).cores == 3


@pytest.mark.parametrize(("size", "cores"), [(512, 1), (1_769, 1), (3_008, 2), (10_240, 6)])
def test_a_lambda_has_the_memory_and_the_cores_of_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, cores: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)), raising=False)
    found = measure_resources({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(size)}, root=make_system(tmp_path, {}))
    assert (found.memory_bytes, found.cores) == (size * MIB, cores)


def test_a_size_that_is_given_wins_over_what_is_measured(tmp_path: Path) -> None:
    assert measure_resources({}, memory_bytes=2 * GIB, root=make_system(tmp_path, {})).memory_bytes == 2 * GIB


def test_this_process_has_some_of_everything() -> None:
    found = measure_resources({})
    assert found.memory_bytes > 64 * MIB
    assert found.cores >= 1
    assert found.temp_bytes > 0


def test_runs_that_share_a_process_share_what_it_has() -> None:
    assert Resources(memory_bytes=900, cores=2, temp_bytes=90).part(3) == Resources(
        memory_bytes=300, cores=1, temp_bytes=30
    )


def make_manifest(size: int) -> Manifest:
    return Manifest(layout="export", files=(), objects=1, bytes=size, packed_bytes=size, fingerprint="f")


def make_resources(memory_mib: int, *, cores: int = 2) -> Resources:
    return Resources(memory_bytes=memory_mib * MIB, cores=cores, temp_bytes=GIB)


@pytest.mark.parametrize("cores", [1, 2, 6])
@pytest.mark.parametrize("memory_mib", [256, 512, 2_048, 3_008, 10_240])
def test_all_tasks_together_have_less_than_the_process(memory_mib: int, cores: int) -> None:
    sizes = size_workers(make_resources(memory_mib, cores=cores), plan=sample_run_spec(), manifest=make_manifest(GIB))
    assert 1 <= sizes.workers <= cores
    # The other half is for what is fetched, decoded and cut into lines.
    assert 2 * sizes.workers * sizes.plan.limits.memory_bytes < memory_mib * MIB
    assert sizes.workers * sizes.plan.spill_bytes < GIB
    assert sizes.plan.limits.fetch_concurrency <= Limits().fetch_concurrency


def test_small_functions_work_on_one_piece_at_a_time() -> None:
    plan, manifest = sample_run_spec(), make_manifest(GIB)
    assert size_workers(make_resources(400), plan=plan, manifest=manifest).workers == 1
    assert size_workers(make_resources(3_008), plan=plan, manifest=manifest).workers == 2


def test_a_bucket_fits_into_the_memory_that_sorts_it() -> None:
    plan, manifest = sample_run_spec(), make_manifest(40 * MIB)
    for memory_mib in (256, 512, 3_008):
        found = size_workers(make_resources(memory_mib), plan=plan, manifest=manifest).plan
        assert EXPANSION * manifest.bytes / found.buckets <= found.limits.memory_bytes / 2


def test_the_reduce_may_use_more_memory_than_the_map_but_not_all() -> None:
    for memory_mib in (256, 320, 1_500, 3_008):
        sizes = size_workers(make_resources(memory_mib), plan=sample_run_spec(), manifest=make_manifest(MIB))
        assert (sizes.plan.limits.memory_bytes < sizes.sorting_bytes) == (memory_mib > 320)
        assert sizes.sorting_bytes * sizes.workers < 0.8 * memory_mib * MIB


def test_every_worker_sorts_as_many_buckets() -> None:
    for size in (30 * MIB, 300 * MIB, 400 * MIB, 500 * MIB):
        sizes = size_workers(make_resources(3_008), plan=sample_run_spec(), manifest=make_manifest(size))
        assert sizes.plan.buckets % sizes.workers == 0 or sizes.plan.buckets == sample_run_spec().buckets


def test_what_the_settings_ask_for_is_kept() -> None:
    plan = replace(sample_run_spec(), buckets=40, limits=Limits(memory_bytes=100 * MIB, fetch_concurrency=3))
    found = size_workers(make_resources(3_008), plan=plan, manifest=make_manifest(MIB)).plan
    assert found.buckets == 40
    assert found.limits.memory_bytes == 100 * MIB
    assert found.limits.fetch_concurrency == 3


def test_buckets_have_an_end() -> None:
    found = size_workers(make_resources(256), plan=sample_run_spec(), manifest=make_manifest(10**12)).plan
    assert found.buckets == MOST_BUCKETS


def test_a_process_without_memory_for_one_task_hands_over() -> None:
    with pytest.raises(HandOverError, match=r"128 MiB .* Next step: run the day on Spark"):
        size_workers(make_resources(128), plan=sample_run_spec(), manifest=make_manifest(MIB))

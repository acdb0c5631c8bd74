"""Resources of a process by function, cgroups and machine, and the size of a local run's workers."""

from dataclasses import replace
from pathlib import Path

import pytest

from daily_batch.domain.run import Limits
from daily_batch.errors import HandOverError
from daily_batch.pipeline.discover.manifest import Manifest
from daily_batch.pipeline.partitioning import EXPANSION, MAX_BUCKETS
from daily_batch.pipeline.runners.resources import MIB, Resources, measure_memory, measure_resources
from daily_batch.pipeline.runners.size_workers import size_workers
from tests.support.run_specs import sample_spec

GIB = 2**30


def make_system(root: Path, files: dict[str, str]) -> Path:
    """Create a root with these files; 8 GiB of 16 are available unless they say otherwise."""
    defaults = {"proc/meminfo": f"MemTotal: {16 * MIB} kB\nMemAvailable: {8 * MIB} kB\n"}
    for name, text in (defaults | files).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def cgroup_files(text: str, **limits: str) -> dict[str, str]:
    return {"proc/self/cgroup": text} | {f"sys/fs/cgroup/{path}": limit for path, limit in limits.items()}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({}, 8 * GIB, id="the available memory without limits"),
        pytest.param({"proc/meminfo": f"MemTotal: {16 * MIB} kB\n"}, 16 * GIB, id="all memory with an old kernel"),
        pytest.param(cgroup_files("0::/\n"), 8 * GIB, id="the root of version 2 has no file"),
        pytest.param(
            cgroup_files("0::/a/b\n", **{"a/b/memory.max": "max\n", "a/memory.max": f"{GIB}\n"}),
            GIB,
            id="a parent cgroup",
        ),
        pytest.param(
            cgroup_files("0::/a/b\n", **{"a/b/memory.max": f"{GIB}\n", "a/memory.max": f"{2 * GIB}\n"}),
            GIB,
            id="its own cgroup",
        ),
        pytest.param(
            cgroup_files("0::/\n", **{"memory.max": f"{99 * GIB}\n"}), 8 * GIB, id="a limit above the available memory"
        ),
        pytest.param(
            cgroup_files("4:memory:/a\n0::/\n", **{"memory/a/memory.limit_in_bytes": f"{GIB}\n"}), GIB, id="version 1"
        ),
        pytest.param(
            cgroup_files("4:memory:/a\n", **{"memory/a/memory.limit_in_bytes": "9223372036854771712\n"}),
            8 * GIB,
            id="version 1 without a limit",
        ),
        pytest.param(
            cgroup_files("4:memory:/docker/f00\n", **{"memory/memory.limit_in_bytes": f"{GIB}\n"}),
            GIB,
            id="a container that sees the host's path",
        ),
        pytest.param(
            cgroup_files("1:name=x:/\n0::/a\n", **{"unified/a/memory.max": f"{GIB}\n"}), GIB, id="both versions"
        ),
    ],
)
def test_memory_is_the_minimum_of_the_machine_and_all_cgroups(
    tmp_path: Path, files: dict[str, str], expected: int
) -> None:
    assert measure_memory(make_system(tmp_path, files)) == expected


@pytest.mark.parametrize(
    "files",
    [
        cgroup_files("0::/a/b\n", **{"a/b/cpu.max": "max 100000\n", "a/cpu.max": "50000 100000\n"}),
        cgroup_files(
            "2:cpu,cpuacct:/a\n",
            **{"cpu,cpuacct/a/cpu.cfs_quota_us": "70000\n", "cpu,cpuacct/a/cpu.cfs_period_us": "100000\n"},
        ),
    ],
    ids=["version 2", "version 1"],
)
def test_fraction_of_a_core_counts_as_one(
    tmp_path: Path, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert measure_resources({}, root=make_system(tmp_path, files)).cores == 1


def test_cores_without_a_limit_are_those_that_the_process_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {1, 5, 6}, raising=False)
    files = cgroup_files("2:cpu:/a\n", **{"cpu/a/cpu.cfs_quota_us": "-1\n", "cpu/a/cpu.cfs_period_us": "100000\n"})
    assert measure_resources({}, root=make_system(tmp_path, files)).cores == 3


@pytest.mark.parametrize(("size", "cores"), [(512, 1), (1_769, 1), (3_008, 2), (10_240, 6)])
def test_lambda_has_the_memory_and_the_cores_of_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, cores: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)), raising=False)
    found = measure_resources({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(size)}, root=make_system(tmp_path, {}))
    assert (found.memory_bytes, found.cores) == (size * MIB, cores)


def test_given_size_takes_precedence_over_the_measured_one(tmp_path: Path) -> None:
    assert measure_resources({}, memory_bytes=2 * GIB, root=make_system(tmp_path, {})).memory_bytes == 2 * GIB


def test_this_process_has_memory_cores_and_disk() -> None:
    found = measure_resources({})
    assert found.memory_bytes > 64 * MIB
    assert found.cores >= 1
    assert found.temp_bytes > 0


def test_runs_in_one_process_share_its_resources() -> None:
    assert Resources(memory_bytes=900, cores=2, temp_bytes=90).split(3) == Resources(
        memory_bytes=300, cores=1, temp_bytes=30
    )


def make_manifest(size: int) -> Manifest:
    return Manifest(layout="export", files=(), objects=1, bytes=size, compressed_bytes=size, fingerprint="f")


def make_resources(memory_mib: int, *, cores: int = 2) -> Resources:
    return Resources(memory_bytes=memory_mib * MIB, cores=cores, temp_bytes=GIB)


@pytest.mark.parametrize("cores", [1, 2, 6])
@pytest.mark.parametrize("memory_mib", [256, 512, 2_048, 3_008, 10_240])
def test_all_tasks_together_use_less_than_the_process_has(memory_mib: int, cores: int) -> None:
    sizes = size_workers(make_resources(memory_mib, cores=cores), spec=sample_spec(), manifest=make_manifest(GIB))
    assert 1 <= sizes.workers <= cores
    # The other half is for text that is fetched, decoded and split into lines.
    assert 2 * sizes.workers * sizes.spec.limits.memory_bytes < memory_mib * MIB
    assert sizes.workers * sizes.spec.spill_bytes < GIB
    assert sizes.spec.limits.fetch_concurrency <= Limits().fetch_concurrency


def test_small_functions_run_one_task_at_a_time() -> None:
    spec, manifest = sample_spec(), make_manifest(GIB)
    assert size_workers(make_resources(400), spec=spec, manifest=manifest).workers == 1
    assert size_workers(make_resources(3_008), spec=spec, manifest=manifest).workers == 2


def test_bucket_fits_into_the_memory_that_sorts_it() -> None:
    spec, manifest = sample_spec(), make_manifest(40 * MIB)
    for memory_mib in (256, 512, 3_008):
        sized = size_workers(make_resources(memory_mib), spec=spec, manifest=manifest).spec
        assert EXPANSION * manifest.bytes / sized.buckets <= sized.limits.memory_bytes / 2


def test_reduce_may_use_more_memory_than_the_map_but_not_all() -> None:
    for memory_mib in (256, 320, 1_500, 3_008):
        sizes = size_workers(make_resources(memory_mib), spec=sample_spec(), manifest=make_manifest(MIB))
        assert (sizes.spec.limits.memory_bytes < sizes.sort_bytes) == (memory_mib > 320)
        assert sizes.sort_bytes * sizes.workers < 0.8 * memory_mib * MIB


def test_every_worker_sorts_the_same_number_of_buckets() -> None:
    for size in (30 * MIB, 300 * MIB, 400 * MIB, 500 * MIB):
        sizes = size_workers(make_resources(3_008), spec=sample_spec(), manifest=make_manifest(size))
        assert sizes.spec.buckets % sizes.workers == 0 or sizes.spec.buckets == sample_spec().buckets


def test_explicit_settings_are_respected() -> None:
    spec = replace(sample_spec(), buckets=40, limits=Limits(memory_bytes=100 * MIB, fetch_concurrency=3))
    sized = size_workers(make_resources(3_008), spec=spec, manifest=make_manifest(MIB)).spec
    assert sized.buckets == 40
    assert sized.limits.memory_bytes == 100 * MIB
    assert sized.limits.fetch_concurrency == 3


def test_number_of_buckets_is_limited() -> None:
    sized = size_workers(make_resources(256), spec=sample_spec(), manifest=make_manifest(10**12)).spec
    assert sized.buckets == MAX_BUCKETS


def test_process_without_memory_for_one_task_hands_over() -> None:
    with pytest.raises(HandOverError, match=r"128 MiB .* Next step: run the day on Spark"):
        size_workers(make_resources(128), spec=sample_spec(), manifest=make_manifest(MIB))

"""The EMR Serverless package runs where it is unpacked, matches its target machine, and is reproducible."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from makoto_packaging import emr
from makoto_packaging.emr import EmrPackage, build_package
from makoto_packaging.environment import make_environment, pack_thin
from makoto_packaging.installing import build_wheel
from makoto_packaging.packing import digest_file, pack_folder
from makoto_packaging.project import ROOT, choose_requirements, read_requirements
from makoto_packaging.targets import EMR_PYTHON, Target
from tests.support.deployment.packed_wheels import (
    AARCH64,
    find_closure,
    find_foreign_modules,
    find_names,
    read_machines,
)

pytestmark = pytest.mark.long  # it installs and builds packages

SPARK_PACKAGES = {"pyspark", "delta-spark", "py4j"}
RELEASE_PYTHON = Path(f"/usr/bin/python{EMR_PYTHON}")
IMPORTS = "import boto3, daily_batch.cli, deltalake, duckdb, msgspec, obstore, pandas, pyarrow, typer"
INSPECT = f"""
{IMPORTS}
import importlib.util, json, sys
spark = [name for name in ("pyspark", "delta") if importlib.util.find_spec(name)]
print(json.dumps([sys.prefix, [boto3.__file__, daily_batch.__file__, duckdb.__file__, pandas.__file__], spark]))
"""


@pytest.fixture(scope="module")
def large_folder() -> Iterator[Path]:
    """Return a folder that is removed at the end, because it grows to a gigabyte."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder).resolve()


@pytest.fixture(scope="module")
def package(large_folder: Path) -> EmrPackage:
    """Return a package for this machine, which can run it."""
    base = Path(sys._base_executable)  # type: ignore[attr-defined]  # as in `venv`
    return build_package(large_folder / "emr", target=Target.here(), interpreter=base, level=1)


@pytest.fixture(scope="module")
def job(package: EmrPackage, large_folder: Path) -> Path:
    """Return the working folder of a job with `environment` unpacked, as `spark.archives` does."""
    return unpack(package.folder / "environment.tar.gz", large_folder / "job")


@pytest.fixture(scope="module")
def release_environment(package: EmrPackage, large_folder: Path) -> Path:
    """Return the environment for the EMR release: ARM, and a Python that this machine may lack."""
    folder = large_folder / "released"
    (wheel,) = package.folder.glob("*.whl")
    make_environment(
        folder / "environment",
        target=Target.linux("aarch64", EMR_PYTHON),
        interpreter=RELEASE_PYTHON,
        wheel=wheel,
        scratch=folder / "scratch",
    )
    return folder / "environment"


def unpack(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as packed:
        packed.extractall(folder / "environment", filter="fully_trusted")
    return folder


def run_python(job: Path, code: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        ["./environment/bin/python", "-c", code], cwd=job, env=environment, capture_output=True, text=True
    )


@contextmanager
def umask(mask: int) -> Iterator[None]:
    previous = os.umask(mask)
    try:
        yield
    finally:
        os.umask(previous)


def test_unpacked_environment_has_all_packages_except_spark(job: Path) -> None:
    done = run_python(job, INSPECT)
    assert done.returncode == 0, done.stderr
    prefix, files, spark = json.loads(done.stdout)
    assert Path(prefix) == job / "environment"
    assert [file for file in files if not file.startswith(str(job / "environment/lib"))] == []
    assert spark == []


@pytest.mark.parametrize(("script", "expected"), [("daily_messages.py", "--run-id"), ("maintain_tables.py", "vacuum")])
def test_entry_scripts_start_in_the_environment(package: EmrPackage, job: Path, script: str, expected: str) -> None:
    shutil.copy(package.folder / script, job)
    code = f"import runpy, sys; sys.argv[1:] = ['--help']; runpy.run_path({script!r}, None, '__main__')"
    done = run_python(job, code)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout


def test_package_list_matches_the_package(package: EmrPackage, job: Path) -> None:
    listed = json.loads((package.folder / "package.json").read_text())
    assert {path.name for path in package.folder.iterdir()} == {*listed["files"], "package.json"}
    for name, file in listed["files"].items():
        path = package.folder / name
        assert (file["bytes"], file["sha256"]) == (path.stat().st_size, digest_file(path))
    assert listed["version"] == package.version
    assert package.version.startswith(listed["packages"]["makoto-daily-batch"] + "-")
    assert listed["packages"].keys() >= {"duckdb", "pyarrow", "pandas", "boto3", "typer"}
    assert package.packed_bytes == sum(file["bytes"] for file in listed["files"].values())
    assert package.unpacked_bytes == listed["unpacked_bytes"] > 400_000_000


def test_release_environment_matches_arm_and_its_python(release_environment: Path) -> None:
    machines = read_machines(release_environment)
    assert len(machines) > 50
    assert set(machines.values()) == {AARCH64}
    assert find_foreign_modules(release_environment, python=EMR_PYTHON) == []
    assert (release_environment / "bin/python").readlink() == RELEASE_PYTHON
    assert "home = /usr/bin\n" in (release_environment / "pyvenv.cfg").read_text()


def test_release_environment_includes_all_dependencies(release_environment: Path) -> None:
    packages = release_environment / f"lib/python{EMR_PYTHON}/site-packages"
    requirements = [*read_requirements("cli", "aws"), *choose_requirements("spark", names=["pandas", "pyarrow"])]
    closure = find_closure(requirements, packages, python=EMR_PYTHON, machine="aarch64")
    assert {"numpy", "botocore", "rich", "deltalake"} <= closure
    assert closure | {"makoto-daily-batch"} <= find_names(packages)
    assert not find_names(packages) & SPARK_PACKAGES


def test_environment_contains_no_path_of_the_build_machine(release_environment: Path) -> None:
    packages = release_environment / f"lib/python{EMR_PYTHON}/site-packages"
    leaks = [
        str(path.relative_to(packages))
        for path in packages.glob("*.dist-info/*")
        if path.is_file() and any(word in path.read_bytes() for word in (b"../bin/", b"file://", str(ROOT).encode()))
    ]
    assert leaks == []
    assert not (packages / "bin").exists()
    assert not list(release_environment.rglob("*.pyc"))


def test_wheel_is_identical_from_another_checkout(tmp_path: Path) -> None:
    wheels = []
    for mask in (0o022, 0o077):
        with umask(mask):
            wheels.append(build_wheel(tmp_path / f"out-{mask}", scratch=tmp_path / f"scratch-{mask}"))
    assert wheels[0].name == wheels[1].name
    assert wheels[0].read_bytes() == wheels[1].read_bytes()


def test_same_content_packs_to_the_same_bytes(tmp_path: Path) -> None:
    names = ["b.py", "a/z.py", "a/é.py", "a-b.py", f"a/{'long' * 40}.py"]
    archives = []
    for number, order in enumerate([names, names[::-1]]):
        folder = tmp_path / f"folder-{number}"
        with umask(0o077 if number else 0o022):
            for name in order:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(name)
                os.utime(folder / name, (time.time(), 1_000_000_000 * (number + 1)))
            (folder / "python").symlink_to("/usr/bin/python3")
        archives.append(pack_folder(folder, tmp_path / f"{number}.tar.gz").read_bytes())
    assert archives[0] == archives[1]
    with tarfile.open(tmp_path / "0.tar.gz") as packed:
        assert sorted(packed.getnames()) == sorted([*names, "python"])
        assert {(each.uid, each.gid, each.uname) for each in packed} == {(0, 0, "")}


def test_different_content_has_a_different_version(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("one")
    first = emr._digest(emr._read_files(tmp_path))
    (tmp_path / "file").write_text("two")
    assert emr._digest(emr._read_files(tmp_path)) != first


def test_thin_environment_is_separate_and_links_these_packages(tmp_path: Path) -> None:
    archive = pack_thin(interpreter=Path(sys.executable), out=tmp_path / "environment.tar.gz")
    assert archive.stat().st_size < 2_000
    job = unpack(archive, tmp_path / "job")
    done = run_python(job, "import sys, daily_batch, pyspark, pytest; print(sys.prefix, daily_batch.__file__)")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(job / "environment"), str(ROOT / "jobs/daily_batch/__init__.py")]


def test_build_replaces_only_an_earlier_package(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text("{}")
    (tmp_path / "makoto_daily_batch-0.0.1-py3-none-any.whl").write_text("")
    emr._clear(tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "thesis.docx").write_text("")
    assert emr.main(["--out", str(tmp_path)]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.docx"]


def test_main_prints_sizes_version_and_upload_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = {}

    def build(out: Path, *, target: Target, interpreter: Path) -> EmrPackage:
        arguments.update(target=target, interpreter=interpreter)
        return EmrPackage(folder=out, version="0.1.0-abc", packed_bytes=1_234, unpacked_bytes=56_789)

    monkeypatch.setattr(emr, "build_package", build)
    assert emr.main(["--out", str(tmp_path)]) == 0
    assert arguments == {"target": Target.linux("aarch64", EMR_PYTHON), "interpreter": RELEASE_PYTHON}
    stdout = capsys.readouterr().out
    assert "1,234 bytes packed, 56,789 unpacked" in stdout
    assert f"aws s3 cp --recursive {tmp_path} s3://ARTIFACT_BUCKET/emr/0.1.0-abc/" in stdout


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        emr.main(["--help"])
    assert "python -m makoto_packaging.emr --arch x86_64" in capsys.readouterr().out

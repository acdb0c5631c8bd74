"""The Lambda package, built as by `sam build`, matches Lambda's machine and fits its size limit."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from makoto_packaging.functions import UNPACKED_LIMIT, main
from makoto_packaging.installing import measure
from makoto_packaging.project import ROOT, read_requirements
from tests.support.deployment.packed_wheels import X86_64, find_closure, find_foreign_modules, find_names, read_machines

PYTHON = "3.12"
MARGIN = 15_000_000
# The runtime includes boto3; the others are Spark's, and would not fit.
NOT_PACKED = {"boto3", "botocore", "pyspark", "delta-spark", "pandas", "pyarrow", "numpy"}


def build(target: str, out: Path) -> Path:
    """Run the Makefile as SAM does: in the project's folder, with the artifacts folder in the environment."""
    command = ["make", "--makefile", str(ROOT / "lambda_trigger/Makefile"), f"build-{target}"]
    environment = {**os.environ, "ARTIFACTS_DIR": str(out), "PYTHON": sys.executable}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def layer() -> Iterator[Path]:
    """Return the layer's folder, which is large, so it is removed at the end."""
    with tempfile.TemporaryDirectory() as folder:
        yield build("DependenciesLayer", Path(folder))


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("WorkerFunction", tmp_path_factory.mktemp("worker"))


def test_worker_and_layer_fit_lambdas_size_limit(layer: Path, worker: Path) -> None:
    largest = sorted((measure(path), path.name) for path in (layer / "python").iterdir() if path.is_dir())[-6:]
    total = measure(layer) + measure(worker)
    assert total > 200_000_000, "the packages were not found"
    assert total <= UNPACKED_LIMIT - MARGIN, f"{total:,} bytes; largest folders: {largest}"


def test_layer_includes_all_dependencies_except_runtime_and_spark(layer: Path) -> None:
    packages = layer / "python"
    closure = find_closure(read_requirements("lambda"), packages, python=PYTHON, machine="x86_64")
    assert {"duckdb", "deltalake", "obstore", "aws-lambda-powertools"} <= closure
    assert closure <= find_names(packages)
    assert not find_names(packages) & NOT_PACKED


def test_layer_matches_lambdas_machine_and_python(layer: Path) -> None:
    machines = read_machines(layer)
    assert len(machines) > 5
    assert set(machines.values()) == {X86_64}
    assert find_foreign_modules(layer, python=PYTHON) == []


@pytest.mark.parametrize("name", ["Dispatcher", "Worker", "Watcher"])
def test_function_code_contains_only_library_and_handlers(name: str, tmp_path: Path) -> None:
    code = build(f"{name}Function", tmp_path / "code")
    assert {path.name for path in code.iterdir()} == {"daily_batch", "lambda_trigger"}
    kinds = {path.suffix for path in code.rglob("*") if path.is_file() and path.name != "py.typed"}
    assert kinds == {".py", ".toml", ".properties", ".css", ".j2"}
    assert (code / f"lambda_trigger/{name.lower()}.py").read_bytes() == (
        ROOT / f"lambda_trigger/{name.lower()}.py"
    ).read_bytes()
    assert (code / "daily_batch/prices.toml").exists()


def test_code_and_layer_contain_no_path_of_the_build_machine(layer: Path, worker: Path) -> None:
    texts = [path for path in layer.rglob("*.dist-info/*") if path.is_file()] + list(worker.rglob("*.*"))
    leaks = [path.name for path in texts if path.is_file() and str(ROOT).encode() in path.read_bytes()]
    assert leaks == []
    assert not (layer / "python/bin").exists()
    assert not [path for root in (layer, worker) for path in root.rglob("__pycache__")]


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "python -m makoto_packaging.functions layer --out out/layer" in capsys.readouterr().out

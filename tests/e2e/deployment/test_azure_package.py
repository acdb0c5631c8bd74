"""The folder that is published to Azure: complete, pinned, for the app's own Python, and at work by itself."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from makoto_packaging.azure import PACKAGES, PYTHON, build_folder, main
from makoto_packaging.project import CONSTRAINTS, ROOT, read_requirements
from makoto_packaging.targets import Target
from tests.support.deployment.packed_wheels import X86_64, find_closure, find_foreign_modules, find_names, read_machines

MODULES = {"__init__.py", "dispatcher.py", "environment.py", "log.py", "metrics_export.py", "watcher.py", "worker.py"}
# They would be for nothing: Spark's own, another cloud's, a person's, and a queue's SDK where bindings do.
NOT_INSTALLED = {"pyspark", "pandas", "pyarrow", "numpy", "boto3", "typer", "rich", "azure-storage-queue", "pytest"}
PROGRAM = """
import json, sys
import function_app
functions = {each.get_function_name(): each.get_trigger().type for each in function_app.app.get_functions()}
files = [each.__file__ for each in list(sys.modules.values()) if getattr(each, "__file__", None)]
print(json.dumps({"functions": functions, "files": files}))
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """For this machine, so that it can be tried; removed at the end, unlike pytest's own folders, for it is large."""
    with tempfile.TemporaryDirectory() as made:
        yield build_folder(Path(made, "app"), target=Target.here())


@pytest.fixture(scope="module")
def published() -> Iterator[Path]:
    """For Azure's."""
    with tempfile.TemporaryDirectory() as made:
        assert main(["--out", f"{made}/app"]) == 0
        yield Path(made, "app")


def run_there(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in the folder with its packages and no other's, as the worker does."""
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONPATH": str(folder / PACKAGES)}
    bare = Path(sys.base_prefix, "bin/python3")
    return subprocess.run(
        [str(bare), "-B", "-c", program], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def installed_in(folder: Path) -> dict[str, str]:
    found = metadata.distributions(path=[str(folder / PACKAGES)])
    return {canonicalize_name(each.name): each.version for each in found}


def pins_of(text: str) -> dict[str, str]:
    """The versions that hold for this Python."""
    lines = [line for line in text.splitlines() if "==" in line and not line.startswith(("#", "-", "."))]
    wanted = [each for each in map(Requirement, lines) if each.marker is None or each.marker.evaluate()]
    return {canonicalize_name(each.name): str(each.specifier).removeprefix("==") for each in wanted}


def test_the_folder_holds_what_the_host_needs_beside_the_packages_and_nothing_else(folder: Path) -> None:
    files = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    own = {path.as_posix() for path in files if not path.is_relative_to(PACKAGES)}
    # No requirements.txt: without one, Core Tools refuse to build, here or in Azure.
    assert own == {
        "function_app.py",
        "host.json",
        "local.settings.json",
        *(f"azure_trigger/{name}" for name in MODULES),
    }
    for name in ("function_app.py", "host.json"):
        assert (folder / name).read_bytes() == (ROOT / "azure_trigger" / name).read_bytes()


def test_an_earlier_folder_is_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("makoto_packaging.azure.install_packages", lambda *_, **__: None)
    for _ in range(2):
        build_folder(tmp_path / "app", target=Target.here())
        (tmp_path / "app/azure_trigger/removed.py").touch()
    build_folder(tmp_path / "app", target=Target.here())
    assert not (tmp_path / "app/azure_trigger/removed.py").exists()
    built = {path.relative_to(tmp_path / "app"): path for path in (tmp_path / "app").rglob("*") if path.is_file()}
    assert all(path.read_bytes() == (folder / name).read_bytes() for name, path in built.items())


def test_what_stays_behind_holds_no_setting_but_the_language(folder: Path) -> None:
    local = json.loads((folder / "local.settings.json").read_text())
    assert local["Values"] == {"FUNCTIONS_WORKER_RUNTIME": "python"}


def test_what_is_published_is_for_the_machine_and_the_python_of_the_app(published: Path) -> None:
    bicep = (ROOT / "infra/azure/main.bicep").read_text()
    runtime = re.search(r"runtime: \{\s*name: 'python'\s*version: '([0-9.]+)'", bicep)
    assert runtime is not None
    assert runtime[1] == PYTHON
    machines = read_machines(published / PACKAGES)
    assert len(machines) > 5
    assert set(machines.values()) == {X86_64}
    assert find_foreign_modules(published / PACKAGES, python=PYTHON) == []


def test_what_is_published_holds_all_that_it_needs(published: Path) -> None:
    closure = find_closure(
        read_requirements("azure", "functions"), published / PACKAGES, python=PYTHON, machine="x86_64"
    )
    assert {"duckdb", "deltalake", "obstore", "azure-functions", "azure-identity", "azure-cosmos"} <= closure
    assert closure <= find_names(published / PACKAGES)


def test_the_library_is_among_the_packages_with_its_data(folder: Path) -> None:
    sources = [*(ROOT / "jobs/daily_batch").rglob("*.py"), ROOT / "jobs/daily_batch/prices.toml"]
    packed = [folder / PACKAGES / path.relative_to(ROOT / "jobs") for path in sources]
    assert [path.read_bytes() for path in packed] == [path.read_bytes() for path in sources]


def test_the_folder_works_where_nothing_else_of_the_project_is(folder: Path) -> None:
    run = run_there(folder, PROGRAM)
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["functions"] == {
        "night": "timerTrigger",
        "start": "httpTrigger",
        "worker": "queueTrigger",
        "poison": "queueTrigger",
        "watch": "timerTrigger",
    }
    assert any(file == str(folder / PACKAGES / "daily_batch/orchestration/dispatch.py") for file in told["files"])
    assert not [file for file in told["files"] if file.startswith(str(ROOT))]


def test_a_start_loads_no_library_that_only_some_calls_need(folder: Path) -> None:
    program = "import sys, function_app; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    run = run_there(folder, program)
    assert "function_app" in run.stdout
    assert not {"databricks", "msal", "cryptography", "opentelemetry"} & set(run.stdout.split())


def test_everything_that_is_installed_is_pinned(folder: Path) -> None:
    installed = installed_in(folder)
    assert {"azure-functions", "azure-cosmos", "azure-identity", "duckdb", "deltalake"} <= set(installed)
    del installed["makoto-daily-batch"]
    pins = pins_of(CONSTRAINTS.read_text()) | pins_of("\n".join(read_requirements("azure", "functions")))
    assert {name: version for name, version in installed.items() if pins.get(name) != version} == {}


def test_nothing_is_installed_that_a_function_does_not_need(folder: Path) -> None:
    assert not set(installed_in(folder)) & NOT_INSTALLED


def test_nothing_tells_of_the_machine_that_made_the_folder(folder: Path) -> None:
    texts = [path for path in folder.rglob("*") if path.suffix in (".py", ".json") or ".dist-info" in str(path)]
    assert len(texts) > 100
    told = [path.name for path in texts if path.is_file() and str(ROOT).encode() in path.read_bytes()]
    assert told == []


def test_a_folder_of_others_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "host.json").write_text("{}")
    assert main(["--out", str(tmp_path)]) == 2
    assert (tmp_path / "host.json").read_text() == "{}"
    assert "name another folder with --out" in capsys.readouterr().err


def test_it_says_how_to_publish_without_a_build_and_what_to_look_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("makoto_packaging.azure.install_packages", lambda *_, **__: None)
    assert main(["--out", str(tmp_path / "app")]) == 0
    told = capsys.readouterr().out
    assert "func azure functionapp publish FUNCTION_APP --python --no-build" in told
    assert "list-functions" in told


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "python -m makoto_packaging.azure --out out/azure" in capsys.readouterr().out

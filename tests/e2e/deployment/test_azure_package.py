"""The folder published to Azure is complete, pinned, built for the app's Python, and works on its own."""

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

pytestmark = pytest.mark.long  # it installs and builds packages

MODULES = {"__init__.py", "dispatcher.py", "environment.py", "log.py", "metrics_export.py", "watcher.py", "worker.py"}
# Not needed by a function: Spark's packages, other clouds', the command line's, tests', and the queue SDK, which
# bindings replace.
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
    """Return a folder built for this machine, which can run it; it is large, so it is removed at the end."""
    with tempfile.TemporaryDirectory() as scratch:
        yield build_folder(Path(scratch, "app"), target=Target.here())


@pytest.fixture(scope="module")
def published() -> Iterator[Path]:
    """Return a folder built for the machine of a Functions app."""
    with tempfile.TemporaryDirectory() as scratch:
        assert main(["--out", f"{scratch}/app"]) == 0
        yield Path(scratch, "app")


def run_in_folder(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in the folder with only its packages, as the worker does."""
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONPATH": str(folder / PACKAGES)}
    python = Path(sys.base_prefix, "bin/python3")
    return subprocess.run(
        [str(python), "-B", "-c", program], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def read_versions(folder: Path) -> dict[str, str]:
    """Return the version of each installed package."""
    found = metadata.distributions(path=[str(folder / PACKAGES)])
    return {canonicalize_name(each.name): each.version for each in found}


def parse_pins(text: str) -> dict[str, str]:
    """Return the pinned version of each package, as it applies to this Python."""
    lines = [line for line in text.splitlines() if "==" in line and not line.startswith(("#", "-", "."))]
    pins = [each for each in map(Requirement, lines) if each.marker is None or each.marker.evaluate()]
    return {canonicalize_name(each.name): str(each.specifier).removeprefix("==") for each in pins}


def test_folder_contains_only_app_files_and_packages(folder: Path) -> None:
    files = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    app_files = {path.as_posix() for path in files if not path.is_relative_to(PACKAGES)}
    # Without a requirements.txt, Core Tools refuses to build, locally or in Azure.
    assert app_files == {
        "function_app.py",
        "host.json",
        "local.settings.json",
        *(f"azure_trigger/{name}" for name in MODULES),
    }
    for name in ("function_app.py", "host.json"):
        assert (folder / name).read_bytes() == (ROOT / "azure_trigger" / name).read_bytes()


def test_build_replaces_an_earlier_folder(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("makoto_packaging.azure.install_packages", lambda *_, **__: None)
    for _ in range(2):
        build_folder(tmp_path / "app", target=Target.here())
        (tmp_path / "app/azure_trigger/removed.py").touch()
    build_folder(tmp_path / "app", target=Target.here())
    assert not (tmp_path / "app/azure_trigger/removed.py").exists()
    built = {path.relative_to(tmp_path / "app"): path for path in (tmp_path / "app").rglob("*") if path.is_file()}
    assert all(path.read_bytes() == (folder / name).read_bytes() for name, path in built.items())


def test_local_settings_contain_only_the_worker_runtime(folder: Path) -> None:
    settings = json.loads((folder / "local.settings.json").read_text())
    assert settings["Values"] == {"FUNCTIONS_WORKER_RUNTIME": "python"}


def test_published_packages_match_the_apps_machine_and_python(published: Path) -> None:
    bicep = (ROOT / "infra/azure/main.bicep").read_text()
    runtime = re.search(r"runtime: \{\s*name: 'python'\s*version: '([0-9.]+)'", bicep)
    assert runtime is not None
    assert runtime[1] == PYTHON
    machines = read_machines(published / PACKAGES)
    assert len(machines) > 5
    assert set(machines.values()) == {X86_64}
    assert find_foreign_modules(published / PACKAGES, python=PYTHON) == []


def test_published_packages_include_all_dependencies(published: Path) -> None:
    closure = find_closure(
        read_requirements("azure", "functions"), published / PACKAGES, python=PYTHON, machine="x86_64"
    )
    assert {"duckdb", "deltalake", "obstore", "azure-functions", "azure-identity", "azure-cosmos"} <= closure
    assert closure <= find_names(published / PACKAGES)


def test_packages_include_the_library_with_its_data(folder: Path) -> None:
    sources = [*(ROOT / "jobs/daily_batch").rglob("*.py"), ROOT / "jobs/daily_batch/prices.toml"]
    packed = [folder / PACKAGES / path.relative_to(ROOT / "jobs") for path in sources]
    assert [path.read_bytes() for path in packed] == [path.read_bytes() for path in sources]


def test_folder_works_without_the_checkout(folder: Path) -> None:
    run = run_in_folder(folder, PROGRAM)
    assert run.returncode == 0, run.stderr
    loaded = json.loads(run.stdout)
    assert loaded["functions"] == {
        "night": "timerTrigger",
        "start": "httpTrigger",
        "worker": "queueTrigger",
        "poison": "queueTrigger",
        "watch": "timerTrigger",
    }
    assert any(file == str(folder / PACKAGES / "daily_batch/orchestration/dispatch.py") for file in loaded["files"])
    assert not [file for file in loaded["files"] if file.startswith(str(ROOT))]


def test_app_start_loads_no_optional_library(folder: Path) -> None:
    program = "import sys, function_app; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    run = run_in_folder(folder, program)
    assert "function_app" in run.stdout
    assert not {"databricks", "msal", "cryptography", "opentelemetry"} & set(run.stdout.split())


def test_every_installed_package_is_pinned(folder: Path) -> None:
    installed = read_versions(folder)
    assert {"azure-functions", "azure-cosmos", "azure-identity", "duckdb", "deltalake"} <= set(installed)
    del installed["makoto-daily-batch"]
    pins = parse_pins(CONSTRAINTS.read_text()) | parse_pins("\n".join(read_requirements("azure", "functions")))
    assert {name: version for name, version in installed.items() if pins.get(name) != version} == {}


def test_no_unneeded_package_is_installed(folder: Path) -> None:
    assert not set(read_versions(folder)) & NOT_INSTALLED


def test_folder_contains_no_path_of_the_build_machine(folder: Path) -> None:
    texts = [path for path in folder.rglob("*") if path.suffix in (".py", ".json") or ".dist-info" in str(path)]
    assert len(texts) > 100
    leaks = [path.name for path in texts if path.is_file() and str(ROOT).encode() in path.read_bytes()]
    assert leaks == []


def test_main_refuses_a_folder_with_other_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "host.json").write_text("{}")
    assert main(["--out", str(tmp_path)]) == 2
    assert (tmp_path / "host.json").read_text() == "{}"
    assert "name another folder with --out" in capsys.readouterr().err


def test_main_prints_the_publish_and_check_commands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("makoto_packaging.azure.install_packages", lambda *_, **__: None)
    assert main(["--out", str(tmp_path / "app")]) == 0
    stdout = capsys.readouterr().out
    assert "func azure functionapp publish FUNCTION_APP --python --no-build" in stdout
    assert "list-functions" in stdout


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "python -m makoto_packaging.azure --out out/azure" in capsys.readouterr().out

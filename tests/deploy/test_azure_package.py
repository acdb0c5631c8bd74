"""The folder that is published to Azure: complete, pinned, and at work where nothing else of the project is."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.azure import build_folder, main
from deploy.project import CONSTRAINTS, ROOT, read_requirements, read_version

WHEEL = f"makoto_daily_batch-{read_version()}-py3-none-any.whl"
MODULES = {"__init__.py", "dispatcher.py", "environment.py", "log.py", "measuring.py", "watcher.py", "worker.py"}
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
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_folder(tmp_path_factory.mktemp("azure") / "app")


@pytest.fixture(scope="module")
def python(folder: Path) -> Iterator[Path]:
    """An environment in which pip has installed the requirements, as Azure's remote build does in the folder."""
    with tempfile.TemporaryDirectory() as made:
        venv.create(made, with_pip=False)
        interpreter = Path(made, "bin/python")
        pip = [sys.executable, "-m", "pip", "--python", str(interpreter), "--disable-pip-version-check", "--quiet"]
        options = ["--no-compile", "--only-binary=:all:", "--requirement", "requirements.txt"]
        installed = subprocess.run([*pip, "install", *options], cwd=folder, capture_output=True, text=True)
        assert installed.returncode == 0, installed.stderr
        yield interpreter


def installed_in(python: Path) -> dict[str, str]:
    packages = [str(path) for path in python.parents[1].glob("lib/python*/site-packages")]
    return {canonicalize_name(each.name): each.version for each in metadata.distributions(path=packages)}


def pins_of(text: str) -> dict[str, str]:
    """The versions that hold for this Python."""
    lines = [line for line in text.splitlines() if "==" in line and not line.startswith(("#", "-", "."))]
    wanted = [each for each in map(Requirement, lines) if each.marker is None or each.marker.evaluate()]
    return {canonicalize_name(each.name): str(each.specifier).removeprefix("==") for each in wanted}


def test_the_folder_holds_what_the_host_needs_and_nothing_else(folder: Path) -> None:
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {
        *("function_app.py", "host.json", "requirements.txt", "constraints.txt", "local.settings.json", WHEEL),
        *(f"azure_trigger/{name}" for name in MODULES),
    }
    for name in ("function_app.py", "host.json"):
        assert (folder / name).read_bytes() == (ROOT / "azure_trigger" / name).read_bytes()


def test_an_earlier_folder_is_replaced_by_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "app"
    shutil.copytree(folder, out)
    (out / "azure_trigger/removed.py").touch()
    build_folder(out)
    built = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert built == {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_stays_behind_holds_no_setting_but_the_language(folder: Path) -> None:
    local = json.loads((folder / "local.settings.json").read_text())
    assert local["Values"] == {"FUNCTIONS_WORKER_RUNTIME": "python"}


def test_the_requirements_are_those_of_the_project_each_with_its_version(folder: Path) -> None:
    lines = (folder / "requirements.txt").read_text().splitlines()
    assert lines[0] == "--constraint constraints.txt"
    assert lines[-1] == f"./{WHEEL}"
    assert lines[1:-1] == sorted(read_requirements("azure", "functions"))
    assert all(re.match(r"[A-Za-z0-9._-]+==[0-9]", line) for line in lines[1:-1])


def test_the_wheel_is_the_library_with_its_defaults(folder: Path) -> None:
    with zipfile.ZipFile(folder / WHEEL) as wheel:
        names = set(wheel.namelist())
    sources = (ROOT / "jobs/daily_batch").rglob("*.py")
    assert {path.relative_to(ROOT / "jobs").as_posix() for path in sources} <= names
    assert "daily_batch/defaults.toml" in names


def test_the_folder_works_where_nothing_else_of_the_project_is(folder: Path, python: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    run = subprocess.run(
        [str(python), "-B", "-c", PROGRAM], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["functions"] == {
        "night": "timerTrigger",
        "start": "httpTrigger",
        "worker": "queueTrigger",
        "poison": "queueTrigger",
        "watch": "timerTrigger",
    }
    assert any(file.endswith("site-packages/daily_batch/dispatch.py") for file in told["files"])
    assert not [file for file in told["files"] if file.startswith(str(ROOT))]


def test_a_start_loads_no_library_that_only_some_calls_need(folder: Path, python: Path) -> None:
    program = "import sys, function_app; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    run = subprocess.run([str(python), "-B", "-c", program], cwd=folder, capture_output=True, text=True)
    assert not {"databricks", "msal", "cryptography", "opentelemetry"} & set(run.stdout.split())


def test_everything_that_is_installed_is_pinned(python: Path) -> None:
    installed = installed_in(python)
    assert {"azure-functions", "azure-cosmos", "azure-identity", "duckdb", "deltalake"} <= set(installed)
    del installed["makoto-daily-batch"]
    pins = pins_of(CONSTRAINTS.read_text()) | pins_of("\n".join(read_requirements("azure", "functions")))
    assert {name: version for name, version in installed.items() if pins.get(name) != version} == {}


def test_nothing_is_installed_that_a_function_does_not_need(python: Path) -> None:
    assert not set(installed_in(python)) & NOT_INSTALLED


def test_nothing_tells_of_the_machine_that_made_the_folder(folder: Path) -> None:
    with zipfile.ZipFile(folder / WHEEL) as wheel:
        told = [name for name in wheel.namelist() if str(ROOT).encode() in wheel.read(name)]
    told += [path.name for path in folder.rglob("*") if path.is_file() and str(ROOT).encode() in path.read_bytes()]
    assert told == []
    assert not re.search(r"https?://", (folder / "requirements.txt").read_text())


def test_a_folder_of_others_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "host.json").write_text("{}")
    assert main(["--out", str(tmp_path)]) == 2
    assert (tmp_path / "host.json").read_text() == "{}"
    assert "name another folder with --out" in capsys.readouterr().err


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "python -m deploy.azure --out out/azure" in capsys.readouterr().out

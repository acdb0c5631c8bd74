"""What each part of the library imports: nothing that is missing in its runtime."""

import subprocess
import sys

import pytest

from tests.support.day_runs import ROOT, child_environment

# Blocks packages by name, even if they are installed, imports the modules and prints all that were loaded.
PROGRAM = """
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"{{name}} is absent here", name=name)

before = set(sys.modules)
sys.meta_path.insert(0, Absent())
import {modules}
print(*sorted(set(sys.modules) - before))
"""
HEAVY = ("pyspark", "pandas", "pyarrow", "numpy")
MSGSPEC = ("msgspec", "typing_extensions")  # msgspec imports typing_extensions if it is installed
CLOUDS = ("boto3", "botocore", "azure", "google", "databricks")
KERNEL = ("duckdb", "deltalake", "obstore", "arro3", "isal")


def load(*modules: str, blocked: tuple[str, ...] = ()) -> list[str]:
    """Return the modules that a fresh interpreter loads to import `modules` without some packages."""
    program = PROGRAM.format(blocked=blocked, modules=", ".join(modules))
    process = subprocess.run([sys.executable, "-c", program], env=child_environment(), capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return process.stdout.split()


COMMAND_LINE = ("typer", "rich")
TRANSFORM = [
    f"pipeline.transform.{name}"
    for name in ("map_chunk", "reduce_bucket", "original_bytes", "fetch", "decode", "write", "strict_parser")
]
FUNCTIONS = [
    *("settings", "domain.request", "domain.receipt", "storage.stores", "synthetic"),
    *("ledger", "ledger.heartbeat", "metadata.sqlite", "metadata.factory"),
    *(f"orchestration.{name}" for name in ("bootstrap", "dispatch", "routing", "plan_day", "day_receipt", "smoke")),
    *("orchestration.spark_jobs.spark_submit", "orchestration.spark_jobs.reconcile"),
    *("pipeline.process_day", "pipeline.replay", "pipeline.discover.discover", "pipeline.discover.manifest"),
    *("pipeline.runners.local", "pipeline.publish.delta", "pipeline.publish.parquet", "pipeline.publish.publisher"),
    *TRANSFORM,
]
ENTRY_POINTS = ("daily_messages", "maintain_tables", "smoke_test", "submitted_job")
COMMAND_LINE_MODULES = [
    *("cli", "cli.output", "cli.progress", "cli.tenants", "cli.maintenance"),
    *(f"entrypoints.{name}" for name in ENTRY_POINTS),
]
# Each store is selected by its own setting and imports the library of its cloud.
STORES = {"metadata.dynamodb": "boto3", "metadata.cosmos": "azure"}


@pytest.mark.parametrize("module", FUNCTIONS)
def test_function_modules_import_without_spark_arrow_pandas_and_cli(module: str) -> None:
    loaded = load(f"daily_batch.{module}", blocked=(*HEAVY, *CLOUDS, *COMMAND_LINE))
    assert f"daily_batch.{module}" in loaded


@pytest.mark.parametrize("module", COMMAND_LINE_MODULES)
def test_cli_imports_without_spark_arrow_and_pandas(module: str) -> None:
    assert f"daily_batch.{module}" in load(f"daily_batch.{module}", blocked=(*HEAVY, *CLOUDS))


def test_cli_without_its_packages_names_what_to_install() -> None:
    program = PROGRAM.format(blocked=COMMAND_LINE, modules="daily_batch.__main__ as entry") + "entry.main()"
    process = subprocess.run([sys.executable, "-c", program], env=child_environment(), capture_output=True, text=True)
    assert process.returncode == 2
    assert "the package typer is missing. Next step: pip install 'makoto-daily-batch[cli]'" in process.stderr


def test_dispatch_loads_neither_spark_nor_cloud_libraries() -> None:
    packages = {
        name.partition(".")[0]
        for name in load("daily_batch.orchestration.dispatch", "daily_batch.orchestration.bootstrap")
    }
    assert not packages & {*HEAVY, *CLOUDS}


@pytest.mark.parametrize("module", STORES)
def test_cloud_metadata_store_loads_only_its_own_cloud_library(module: str) -> None:
    packages = {name.partition(".")[0] for name in load(f"daily_batch.{module}", blocked=HEAVY)}
    assert packages & {*CLOUDS} - {"botocore"} == {STORES[module]}


def test_routing_and_ledger_rules_load_no_engine_and_no_store() -> None:
    loaded = set(
        load(
            "daily_batch.orchestration.routing", "daily_batch.ledger.entry", "daily_batch.orchestration.spark_jobs.base"
        )
    )
    assert not loaded & {"duckdb", "obstore", "deltalake", "pyspark"}


def test_domain_imports_only_the_standard_library_and_msgspec() -> None:
    modules = sorted(f"daily_batch.domain.{path.stem}" for path in (ROOT / "jobs/daily_batch/domain").glob("[a-z]*.py"))
    assert "daily_batch.domain.contract" in modules
    packages = {name.partition(".")[0] for name in load("daily_batch.errors", *modules)}
    others = packages - sys.stdlib_module_names - {"daily_batch", "msgspec", "typing_extensions"}
    # The module of the build's constants is named after the platform, so it is not in `stdlib_module_names`.
    assert {name for name in others if not name.startswith("_sysconfigdata")} == set()


def test_transform_imports_no_runner_no_cloud_and_no_store() -> None:
    loaded = load(*(f"daily_batch.{module}" for module in TRANSFORM))
    own = {name for name in loaded if name.startswith("daily_batch.")}
    assert {name.split(".")[1] for name in own} == {"domain", "errors", "pipeline", "storage"}
    assert {name for name in own if name.startswith("daily_batch.storage.")} == {"daily_batch.storage.scratch"}
    assert {name.split(".")[2] for name in own if name.startswith("daily_batch.pipeline.")} == {"transform"}
    assert not {name.partition(".")[0] for name in loaded} & {*HEAVY, *CLOUDS, "obstore", "deltalake"}


def test_cli_import_loads_nothing_that_a_run_needs() -> None:
    packages = {name.partition(".")[0] for name in load("daily_batch.cli")}
    assert not packages & {*HEAVY, *CLOUDS, *KERNEL, "rich"}


def test_the_python_api_loads_what_a_run_needs_when_it_is_first_used() -> None:
    loaded = load("daily_batch")
    assert {name for name in loaded if name.startswith("daily_batch.")} == {"daily_batch.errors"}
    assert not {name.partition(".")[0] for name in loaded} & {*HEAVY, *CLOUDS, *KERNEL, *MSGSPEC, *COMMAND_LINE}
    assert "daily_batch.api" in load("daily_batch.api", blocked=(*HEAVY, *CLOUDS, *COMMAND_LINE))


def test_complete_run_needs_neither_spark_nor_arrow_nor_pandas(tmp_path_factory: pytest.TempPathFactory) -> None:
    out = tmp_path_factory.mktemp("lambda")
    program = PROGRAM.format(blocked=(*HEAVY, *CLOUDS), modules="daily_batch.__main__ as entry") + (
        "sys.argv = ['makoto-batch', 'run', '--tenant', 'acme', '--date', '2025-08-12', '--input', 'samples',"
        f" '--output', {str(out)!r}]\nentry.main()"
    )
    process = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=child_environment(), capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    assert (out / "acme/analytics/messages/_delta_log").is_dir()


def test_dispatcher_starts_without_the_transform_libraries() -> None:
    loaded = load("lambda_trigger.dispatcher", blocked=(*HEAVY, *COMMAND_LINE, "azure"))
    assert not {name.partition(".")[0] for name in loaded} & set(KERNEL)


@pytest.mark.parametrize("module", ["worker", "watcher"])
def test_functions_start_without_spark_arrow_pandas_and_cli(module: str) -> None:
    assert f"lambda_trigger.{module}" in load(f"lambda_trigger.{module}", blocked=(*HEAVY, *COMMAND_LINE, "azure"))

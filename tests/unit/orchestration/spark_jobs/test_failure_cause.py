"""Causes found in the logs of failed jobs, and the check of the job package."""

import json
from pathlib import Path

import pytest
from obstore.store import LocalStore, MemoryStore

from daily_batch.domain.url import parse_url
from daily_batch.errors import TerminalError
from daily_batch.orchestration.spark_jobs.emr_package import check_package
from daily_batch.orchestration.spark_jobs.emr_request import ENTRY_POINT, ENVIRONMENT, EmrConfig
from daily_batch.orchestration.spark_jobs.failure_cause import find_cause

CONFIG = EmrConfig(
    application_id="00f1",
    role_arn="arn:aws:iam::123456789012:role/job",
    package=parse_url("s3://artifacts/emr/1f"),
    region="ap-northeast-1",
    python="3.11",
)


@pytest.mark.parametrize(
    ("log", "what"),
    [
        (
            'java.io.IOException: Cannot run program "./environment/bin/python3.11": error=2, No such file',
            "the image does not have the package's Python: python3.11 is not found",
        ),
        (
            'Cannot run program "/home/hadoop/environment/bin/python3.11": Exec failed, error: 2 (No such file or …)',
            "the image does not have the package's Python: python3.11 is not found",
        ),
        (
            "sh: 1: ./environment/bin/python3.13: not found",
            "the image does not have the package's Python: python3.13 is not found",
        ),
        (
            "requires a different Python: 3.10.12 not in '<3.14,>=3.11'",
            "the image does not have the package's Python: it has 3.10.12",
        ),
        ("ModuleNotFoundError: No module named 'daily_batch'", "the package daily_batch cannot be imported"),
        ("s3://artifacts/emr/1f/daily_messages.py cannot be read: NoSuchKey", "a file of the job's package is missing"),
        ("AccessDeniedException: … (Service: S3, Status Code: 403)", "missing permission: the service was denied"),
        ("java.net.UnknownHostException: s3.example", "no connection: an address could not be reached"),
        ("Library installation failed for library due to user error", "the libraries of the job cannot be installed"),
    ],
)
def test_known_messages_of_services_and_spark_have_a_cause(log: str, what: str) -> None:
    cause = find_cause(f"26/11/28 WARN something else\n{log}\nat org.apache.spark")
    assert cause is not None
    assert cause.what.startswith(what)
    assert cause.next_step


def test_last_error_of_the_job_takes_precedence() -> None:
    log = (
        "AccessDenied\n"
        "error: tenant=smoke day=2025-08-12: the first. Next step: none.\n"
        "error: tenant=smoke day=2025-08-12: driver check failed: missing permission: read x."
        " Next step: see the page.\n"
    )
    assert find_cause(log) == ("driver check failed: missing permission: read x", "see the page")


def test_messages_before_an_unexpected_error_take_precedence() -> None:
    log = (
        "No module named 'duckdb'\nerror: unexpected PythonException at spark.py:1. Next step: run again with --debug."
    )
    cause = find_cause(log)
    assert cause is not None
    assert cause.what == "the package duckdb cannot be imported"


def test_unknown_text_has_no_cause() -> None:
    assert find_cause("") is None
    assert find_cause('{"content": "our secret plan"}\nExitCode: 1') is None


def make_package(**changed: str) -> MemoryStore:
    store = MemoryStore()
    store.put("package.json", json.dumps({"arch": "aarch64", "python": "3.11", "version": "1", **changed}).encode())
    for name in (ENTRY_POINT, ENVIRONMENT):
        store.put(name, b"x")
    return store


def test_complete_package_for_the_application_passes() -> None:
    check_package(make_package(), CONFIG, architecture="ARM64")
    check_package(make_package(arch="x86_64"), CONFIG, architecture="")


@pytest.mark.parametrize("name", ["package.json", ENTRY_POINT, ENVIRONMENT])
def test_missing_package_file_is_named(name: str) -> None:
    store = make_package()
    store.delete(name)
    with pytest.raises(TerminalError, match=rf"the package is incomplete: s3://artifacts/emr/1f/{name} does not exist"):
        check_package(store, CONFIG, architecture="ARM64")


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"arch": "x86_64"}, r"the package is for x86_64, and the application runs on aarch64\. .*--arch aarch64"),
        ({"python": "3.13"}, r"is for Python 3\.13, and jobs run on Python 3\.11 \(emr_python\)\. .*EmrPython=3\.13"),
    ],
)
def test_package_for_another_platform_has_a_next_step(changed: dict[str, str], error: str) -> None:
    with pytest.raises(TerminalError, match=error):
        check_package(make_package(**changed), CONFIG, architecture="ARM64")


def test_invalid_manifest_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text("{}")
    with pytest.raises(TerminalError, match="is not understood"):
        check_package(LocalStore(str(tmp_path)), CONFIG, architecture="ARM64")


def test_check_is_skipped_without_permission_to_read_the_package(tmp_path: Path) -> None:
    class Denying:
        def get(self, name: str) -> None:
            raise PermissionError("AccessDenied")

    check_package(Denying(), CONFIG, architecture="ARM64")  # type: ignore[arg-type]

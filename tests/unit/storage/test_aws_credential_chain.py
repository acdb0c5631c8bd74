"""boto3's credential chain, in separate processes because it reads the environment and the home folder."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daily_batch.domain.url import parse_url
from daily_batch.storage import credentials
from daily_batch.storage.stores import delta_location
from tests.support.day_runs import ROOT, child_environment
from tests.support.refusing_server import KEY

PROGRAM = """
import typer
from daily_batch.cli.output import exit_on_error
from daily_batch.domain.url import parse_url
from daily_batch.storage.stores import delta_location, open_store

def request(client: str):
    options = {"aws_endpoint_url": "http://127.0.0.1:1", "max_retries": "0"}
    location = parse_url("s3://box/x")
    with exit_on_error(debug=False):
        if client == "delta":
            print(sorted(item for item in delta_location(location, options)[1].items() if item[0].startswith("aws_")))
        else:
            from daily_batch.storage.failures import explain_failure
            store = open_store(location, options)
            try:
                list(store.list("a"))
            except Exception as error:
                raise explain_failure(error, tenant="acme", day="2025-08-12")

typer.run(request)
"""
BOTH_CLIENTS = pytest.mark.parametrize("client", ["obstore", "delta"])


def run_program(home: Path, client: str, config: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run PROGRAM with a home folder that contains this AWS configuration."""
    (home / "config").write_text(config)
    more = {"AWS_CONFIG_FILE": str(home / "config"), "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, client],
        env=child_environment(AWS_EC2_METADATA_DISABLED="true", **more, **environ),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def write_credential_process(home: Path, *, script: str) -> str:
    """Write a credential process; return the profile that uses it."""
    program = home / "give.py"
    program.write_text(script)
    return f"[profile p]\nregion = eu-west-3\ncredential_process = {sys.executable} {program}\n"


@BOTH_CLIENTS
def test_missing_credentials_are_reported_in_one_line_at_once(tmp_path: Path, client: str) -> None:
    process = run_program(tmp_path, client, "")
    assert process.returncode == 2
    assert process.stderr.startswith("error: no AWS credentials are found (")
    assert "aws sso login" in process.stderr
    assert process.stderr.count("\n") == 1


@BOTH_CLIENTS
def test_unknown_profile_is_a_usage_error(tmp_path: Path, client: str) -> None:
    process = run_program(tmp_path, client, "", AWS_PROFILE="nobody")
    assert process.returncode == 2
    assert "the AWS credentials are wrong (ProfileNotFound)" in process.stderr
    assert process.stderr.count("\n") == 1


@BOTH_CLIENTS
def test_missing_single_sign_on_has_its_next_step(tmp_path: Path, client: str) -> None:
    config = (
        "[profile p]\nregion = eu-west-3\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = r\n"
        "[sso-session s]\nsso_region = eu-west-3\nsso_start_url = https://example.awsapps.com/start\n"
    )
    process = run_program(tmp_path, client, config, AWS_PROFILE="p")
    assert process.returncode == 3
    assert "the AWS credentials have expired" in process.stderr
    assert "sign in again (aws sso login)" in process.stderr
    assert process.stderr.count("\n") == 1


@BOTH_CLIENTS
def test_failing_credential_process_is_reported_without_its_output(tmp_path: Path, client: str) -> None:
    config = write_credential_process(tmp_path, script=f"import sys; sys.exit({KEY!r})")
    process = run_program(tmp_path, client, config, AWS_PROFILE="p")
    assert process.returncode == 2
    assert "the AWS credentials are wrong (CredentialRetrievalError)" in process.stderr
    assert KEY not in process.stderr
    assert process.stderr.count("\n") == 1


def test_delta_rs_receives_credentials_and_region_of_the_profile(tmp_path: Path) -> None:
    until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    issued = {"Version": 1, "AccessKeyId": "AKIAP", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": until}
    config = write_credential_process(tmp_path, script=f"print({json.dumps(json.dumps(issued))})")
    process = run_program(tmp_path, "delta", config, AWS_PROFILE="p")
    options = dict(eval(process.stdout))
    assert options == {
        "aws_access_key_id": "AKIAP",
        "aws_endpoint_url": "http://127.0.0.1:1",
        "aws_region": "eu-west-3",
        "aws_secret_access_key": "s",
        "aws_session_token": "t",
    }


def test_credentials_are_read_again_each_time_a_table_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    class RenewedCredentials:
        method, calls = "sso", 0

        def get_frozen_credentials(self) -> Any:
            self.calls += 1
            return type("Frozen", (), {"access_key": f"AKIA{self.calls}", "secret_key": "s", "token": None})

    source = RenewedCredentials()
    monkeypatch.setattr("boto3.Session.get_credentials", lambda self: source)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    credentials.load_boto3_credentials.cache_clear()
    try:
        found = [delta_location(parse_url("s3://box/x"), {"aws_region": "r"})[1] for _ in range(2)]
    finally:
        credentials.load_boto3_credentials.cache_clear()
    assert [each["aws_access_key_id"] for each in found] == ["AKIA1", "AKIA2"]

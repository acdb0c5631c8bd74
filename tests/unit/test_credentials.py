"""Credentials for S3 come from boto3's chain where nothing else gives them, and are renewed as boto3 does."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from daily_batch.credentials import find_s3_credentials
from day_runs import ROOT, child_environment

PROGRAM = """
from daily_batch.credentials import find_s3_credentials
found = find_s3_credentials({})
print(found and (found.provide()["access_key_id"], found.as_options()["aws_session_token"]))
"""


@pytest.fixture
def container() -> Iterator[str]:
    """What a runtime of AWS serves its containers: keys that last a while, for whoever holds the token."""

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.headers["Authorization"] == "let-me-in"
            until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
            keys = {"AccessKeyId": "AKIAROLE", "SecretAccessKey": "s", "Token": "of-the-session", "Expiration": until}
            body = json.dumps(keys).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Keys) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/keys"
        server.shutdown()


def ask(**more: str) -> str:
    inherited = {name: value for name, value in child_environment().items() if not name.startswith("AWS_")}
    environment = inherited | {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull, **more}
    environment["AWS_SHARED_CREDENTIALS_FILE"] = more.get("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_containers_credentials_are_found_with_their_session(container: str) -> None:
    given = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": container, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "let-me-in"}
    assert ask(**given) == "('AKIAROLE', 'of-the-session')"


def test_those_of_the_environment_are_left_to_the_libraries_and_none_are_none(container: str) -> None:
    assert ask(AWS_ACCESS_KEY_ID="AKIAENV", AWS_SECRET_ACCESS_KEY="s") == "None"
    assert ask() == "None"


def test_options_that_hold_some_are_enough() -> None:
    assert find_s3_credentials({"aws_access_key_id": "AKIA"}) is None
    assert find_s3_credentials({"aws_skip_signature": "true"}) is None

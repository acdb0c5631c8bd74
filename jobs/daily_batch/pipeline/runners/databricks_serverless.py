"""Fit a job to Databricks serverless compute, whose workers restrict Python.

A Python function there has no network, no environment variables from which to find an identity, and at most 1 GB of
memory.
"""

from collections.abc import Mapping
from dataclasses import replace

from daily_batch.domain.url import StorageUrl, parse_url
from daily_batch.errors import UsageError
from daily_batch.settings import Settings

# With this limit a worker used at most 480 MiB for a day of 300,000 messages (measured): half of what it has there.
MEMORY_BYTES = 256 * 2**20
REASON = "on Databricks serverless no worker has a network or an identity"
NEXT_STEP = "run the job on a cluster (docs/databricks.md, Serverless)"


def is_serverless(environ: Mapping[str, str]) -> bool:
    """Return whether this process runs on serverless compute."""
    declared = environ.get("IS_SERVERLESS", "").lower() in ("1", "true")
    return declared or environ.get("DATABRICKS_RUNTIME_VERSION", "").startswith("client.")


def find_obstacle(url: StorageUrl, environ: Mapping[str, str]) -> str:
    """Return why workers cannot reach a URL; empty if they can."""
    return REASON if url.kind in ("s3", "abfss") and is_serverless(environ) else ""


def fit_compute(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """Return the settings for the job's compute: on serverless, with no more memory than its workers have.

    Raises:
        UsageError: Workers cannot reach the input or the output.
    """
    if not is_serverless(environ):
        return settings
    for text in filter(None, (settings.input, settings.output)):
        url = parse_url(text)
        if obstacle := find_obstacle(url, environ):
            raise UsageError(f"{url} cannot be used: {obstacle}", next_step=NEXT_STEP)
    return replace(settings, memory_bytes=min(settings.memory_bytes, MEMORY_BYTES))

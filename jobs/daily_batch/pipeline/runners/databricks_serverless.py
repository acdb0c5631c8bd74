"""What Databricks serverless compute keeps from Python on its workers: the network, the environment, and memory.

A function there reaches no address, sees no variable by which an identity is found, and has 1 GB at most.
"""

from collections.abc import Mapping
from dataclasses import replace

from daily_batch.domain.url import StorageUrl, parse_url
from daily_batch.errors import UsageError
from daily_batch.settings import Settings

# With it a worker took 480 MiB at most, over a day of 300,000 messages: half of what it has here.
MEMORY_BYTES = 256 * 2**20
REASON = "on Databricks serverless no worker has a network or an identity"
NEXT_STEP = "run the job on a cluster (docs/databricks.md, Serverless)"


def is_serverless(environ: Mapping[str, str]) -> bool:
    """Whether this process is of serverless compute."""
    said = environ.get("IS_SERVERLESS", "").lower() in ("1", "true")
    return said or environ.get("DATABRICKS_RUNTIME_VERSION", "").startswith("client.")


def find_obstacle(url: StorageUrl, environ: Mapping[str, str]) -> str:
    """Why workers cannot reach a place; empty where they can."""
    return REASON if url.kind in ("s3", "abfss") and is_serverless(environ) else ""


def fit_compute(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """The settings for the compute that the job is on: on serverless, no more memory than its workers have.

    Raises:
        UsageError: workers would not reach messages or tables.
    """
    if not is_serverless(environ):
        return settings
    for place in filter(None, (settings.input, settings.output)):
        url = parse_url(place)
        if obstacle := find_obstacle(url, environ):
            raise UsageError(f"{url} cannot be used: {obstacle}", next_step=NEXT_STEP)
    return replace(settings, memory_bytes=min(settings.memory_bytes, MEMORY_BYTES))

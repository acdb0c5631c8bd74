"""Run Azurite, Microsoft's emulator of Azure Storage, for blobs and queues; it ends with its parent process."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from tests.local_cloud.common.node import NODE, install_packages

VERSION = "3.37.0"
SOURCE = Path(__file__).with_name("azurite_server")
# Azurite's public account: https://learn.microsoft.com/azure/storage/common/storage-use-azurite
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_LISTENS = re.compile(r"Azurite (Blob|Queue) service is successfully listening at (http://\S+)")


@dataclass(frozen=True, kw_only=True)
class Azurite:
    """One storage account; `blob` and `queue` are the services' addresses without the account name."""

    blob: str
    queue: str

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables by which obstore and delta-rs find the blobs."""
        # With account, key and endpoint instead, listings with an offset are wrong, which breaks Delta tables.
        return {"AZURE_STORAGE_CONNECTION_STRING": "UseDevelopmentStorage=true", "AZURITE_BLOB_STORAGE_URL": self.blob}

    @property
    def connection_string(self) -> str:
        """The connection string for Microsoft's SDKs and the Functions host."""
        parts = {
            "DefaultEndpointsProtocol": "http",
            "AccountName": ACCOUNT,
            "AccountKey": KEY,
            "BlobEndpoint": f"{self.blob}/{ACCOUNT}",
            "QueueEndpoint": f"{self.queue}/{ACCOUNT}",
        }
        return ";".join(f"{name}={value}" for name, value in parts.items())

    def blobs(self) -> BlobServiceClient:
        """Return Microsoft's client for blobs."""
        return BlobServiceClient.from_connection_string(self.connection_string)

    def queues(self) -> QueueServiceClient:
        """Return Microsoft's client for queues."""
        return QueueServiceClient.from_connection_string(self.connection_string)

    def upload(self, folder: Path, *, container: str, prefix: str = "") -> None:
        """Upload a folder's files to a container, created if missing; `prefix` is put before their names."""
        client = self.blobs().get_container_client(container)
        if not client.exists():
            client.create_container()
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            client.upload_blob(f"{prefix}{path.relative_to(folder).as_posix()}", path.read_bytes(), overwrite=True)

    def url(self, container: str) -> str:
        """Return the URL of a container, as settings contain it."""
        return f"abfss://{container}@{ACCOUNT}.dfs.core.windows.net"


def install() -> Path:
    """Download Azurite once, and return its node_modules."""
    return install_packages(f"azurite-{VERSION}", SOURCE)


@contextmanager
def serve_azurite() -> Iterator[Azurite]:
    """Run Azurite in memory on free ports."""
    packages = install()
    with subprocess.Popen(
        [NODE, str(SOURCE / "serve.js")],
        cwd=packages.parent,
        env=os.environ | {"NODE_PATH": str(packages)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None, "stdout is a pipe"  # noqa: S101
        found: dict[str, str] = {}
        while len(found) < 2 and (line := server.stdout.readline()):
            found |= {match[1].lower(): match[2] for match in _LISTENS.finditer(line)}
        if len(found) < 2:
            raise RuntimeError(f"Azurite {VERSION} did not start")
        yield Azurite(**found)

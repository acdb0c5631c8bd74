"""Azurite, Microsoft's own stand-in for Azure Storage: blobs and queues, which end with whoever started them."""

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
# Everybody's: https://learn.microsoft.com/azure/storage/common/storage-use-azurite
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_LISTENS = re.compile(r"Azurite (Blob|Queue) service is successfully listening at (http://\S+)")


@dataclass(frozen=True, kw_only=True)
class Azurite:
    """One storage account. `blob` and `queue` are the services' addresses, without the account's name."""

    blob: str
    queue: str

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs for obstore and delta-rs to find the blobs."""
        # With account, key and endpoint instead, listing by offset is wrong and Delta tables break.
        return {"AZURE_STORAGE_CONNECTION_STRING": "UseDevelopmentStorage=true", "AZURITE_BLOB_STORAGE_URL": self.blob}

    @property
    def connection_string(self) -> str:
        """For Microsoft's own SDKs and the Functions host."""
        parts = {
            "DefaultEndpointsProtocol": "http",
            "AccountName": ACCOUNT,
            "AccountKey": KEY,
            "BlobEndpoint": f"{self.blob}/{ACCOUNT}",
            "QueueEndpoint": f"{self.queue}/{ACCOUNT}",
        }
        return ";".join(f"{name}={value}" for name, value in parts.items())

    def blobs(self) -> BlobServiceClient:
        """Microsoft's client of the blobs."""
        return BlobServiceClient.from_connection_string(self.connection_string)

    def queues(self) -> QueueServiceClient:
        """Microsoft's client of the queues."""
        return QueueServiceClient.from_connection_string(self.connection_string)

    def upload(self, folder: Path, *, container: str, prefix: str = "") -> None:
        """Put the files of a folder into a container, made if it is missing; their names begin with the prefix."""
        client = self.blobs().get_container_client(container)
        if not client.exists():
            client.create_container()
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            client.upload_blob(f"{prefix}{path.relative_to(folder).as_posix()}", path.read_bytes(), overwrite=True)

    def url(self, container: str) -> str:
        """A container as settings name it."""
        return f"abfss://{container}@{ACCOUNT}.dfs.core.windows.net"


@contextmanager
def serve_azurite() -> Iterator[Azurite]:
    """Azurite on free ports, in memory."""
    packages = install_packages(f"azurite-{VERSION}", SOURCE)
    with subprocess.Popen(
        [NODE, str(SOURCE / "serve.js")],
        cwd=packages.parent,
        env=os.environ | {"NODE_PATH": str(packages)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None, "a pipe was asked for"  # noqa: S101
        found: dict[str, str] = {}
        while len(found) < 2 and (line := server.stdout.readline()):
            found |= {match[1].lower(): match[2] for match in _LISTENS.finditer(line)}
        if len(found) < 2:
            raise RuntimeError(f"Azurite {VERSION} did not start")
        yield Azurite(**found)

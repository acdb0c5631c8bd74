"""Download third-party packages once into .cache/, and find the Java that runs them."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CACHE = ROOT / ".cache"


def cached_folder(name: str, fill: Callable[[Path], None]) -> Path:
    """Return a folder of .cache/ and fill it the first time.

    It gets its name only when it is complete, so a failed download leaves no folder behind. One process downloads at a
    time: Ivy's and npm's caches are shared, and another process may need the same folder.
    """
    folder = CACHE / name
    if not folder.exists():
        CACHE.mkdir(exist_ok=True)
        with (CACHE / "downloads.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                _fill(folder, fill)
    return folder


def _fill(folder: Path, fill: Callable[[Path], None]) -> None:
    part = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    try:
        fill(part)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def fetch_jars(organisation: str, module: str, revision: str, folder: Path) -> None:
    """Link a Maven package and its dependencies into a folder; the files themselves stay in .cache/ivy.

    Spark ships Ivy, so nothing else has to be installed.
    """
    import pyspark

    jars = Path(pyspark.__file__).parent / "jars"
    run_download(
        *(find_java(), "-cp", f"{jars}/*", "org.apache.ivy.Main", "-warn"),
        *("-settings", str(ROOT / "conf/spark/ivysettings.xml"), "-cache", str(CACHE / "ivy/cache")),
        *("-confs", "default", "-dependency", organisation, module, revision),
        *("-retrieve", f"{folder}/[artifact]-[revision].[ext]", "-symlink"),
    )


def run_download(*command: str, folder: Path | None = None) -> None:
    """Run a command that downloads something.

    Raises:
        RuntimeError: the command failed; the message has the end of its output.
    """
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        output = (done.stdout + done.stderr).strip()[-2000:]
        raise RuntimeError(f"{command[0]} could not download a package of the local cloud: {output}")


def find_java() -> str:
    """Return the Java of JAVA_HOME, which `make` sets; without it, find or install one as `make` does."""
    home = os.environ.get("JAVA_HOME")
    if not home:
        home = subprocess.run([ROOT / "tools/find-java"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    return f"{home}/bin/java"

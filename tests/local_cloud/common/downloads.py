"""What the local cloud needs of others, fetched once into .cache/; a Java to run it."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CACHE = ROOT / ".cache"


def keep_once(name: str, fill: Callable[[Path], None]) -> Path:
    """A folder of .cache/, filled the first time; it appears under its name only when it is complete."""
    folder = CACHE / name
    if not folder.exists():
        folder.parent.mkdir(exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder.parent))
        try:
            fill(part)
            part.rename(folder)
        except OSError:
            if not folder.exists():  # else another process was quicker
                raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder


def fetch_jars(organisation: str, module: str, revision: str, folder: Path) -> None:
    """Link a package of Maven and all that it needs into a folder; what it is linked to stays in .cache/ivy.

    By the Ivy that Spark itself brings, for it needs nothing more to be installed.
    """
    import pyspark

    jars = Path(pyspark.__file__).parent / "jars"
    run_or_explain(
        *(find_java(), "-cp", f"{jars}/*", "org.apache.ivy.Main", "-warn"),
        *("-settings", str(ROOT / "conf/spark/ivysettings.xml"), "-cache", str(CACHE / "ivy/cache")),
        *("-confs", "default", "-dependency", organisation, module, revision),
        *("-retrieve", f"{folder}/[artifact]-[revision].[ext]", "-symlink"),
    )


def run_or_explain(*command: str, folder: Path | None = None) -> None:
    """Run a command that fetches something.

    Raises:
        RuntimeError: it failed; with the end of what it said.
    """
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        said = (done.stdout + done.stderr).strip()[-2000:]
        raise RuntimeError(f"{command[0]} could not fetch what the local cloud needs: {said}")


def find_java() -> str:
    """`make` names one in JAVA_HOME; else it is found, or installed, as there."""
    home = os.environ.get("JAVA_HOME")
    if not home:
        home = subprocess.run([ROOT / "tools/find-java"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    return f"{home}/bin/java"

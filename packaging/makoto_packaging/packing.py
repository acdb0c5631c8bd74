"""Pack a folder into one archive, reproducibly: the same content gives the same bytes on any machine."""

import gzip
import hashlib
import tarfile
from pathlib import Path

from makoto_packaging.project import PACKED_AT


def pack_folder(folder: Path, out: Path, *, level: int = 6) -> Path:
    """Write a `.tar.gz` of a folder's files and links: sorted names, fixed times, owners and modes."""
    paths = sorted(path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
    with (
        out.open("wb") as file,
        gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=level, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in paths:
            _add(archive, path, path.relative_to(folder).as_posix())
    return out


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.mtime = PACKED_AT
    if path.is_symlink():
        entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
        archive.addfile(entry)
        return
    entry.size, entry.mode = path.stat().st_size, 0o644
    with path.open("rb") as file:
        archive.addfile(entry, file)

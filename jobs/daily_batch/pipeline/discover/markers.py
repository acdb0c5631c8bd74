"""Recognize marker files by their names: objects that tools write beside data, which are ignored and counted.

The list holds only names that a tool reserves for itself, no conventions: `_x.json` and `.hidden` may be data. No rule
is applied to users and rooms, because tenants choose those folders' names.
"""

import re
from collections.abc import Sequence

# Each pattern matches a whole name. Matching is case-sensitive unless the pattern says otherwise.
_FILES = (
    # Spark, Hadoop, Databricks, Parquet, EMR
    r"_SUCCESS",  # the committer of a job that has finished
    r"_(?:started|committed)_.*",  # Databricks' commit protocol, `_committed_vacuum…` included
    r"_(?:common_)?metadata",  # Parquet's summary of the folder's files
    r"\..+\.crc",  # Hadoop's checksum of the file that it names
    r".+_\$folder\$",  # EMR's and Hadoop's placeholder for a folder on S3
    r".+\._COPYING_",  # an unfinished `hdfs dfs -put`
    r"\.distcp\.tmp\..+",  # an unfinished distcp
    # macOS
    r"\._.*",  # AppleDouble: the attributes of another file
    r"\.DS_Store",  # Finder's view settings
    r"\.localized",  # makes Finder translate the folder's name
    r"Icon\r",  # the folder's icon
    # Windows
    r"(?i:(?:eh)?thumbs\.db|desktop\.ini)",  # Explorer's thumbnails and view settings
    # Linux, editors, version control
    r"\.nfs[0-9a-f]{16,}",  # NFS: a deleted file that a process still has open
    r"\.fuse_hidden[0-9a-f]{16,}",  # FUSE: the same
    r"\.directory",  # KDE's view settings
    r"\.#.*",  # Emacs' lock file
    r"\..+\.sw[a-p]",  # vim's swap file
    r"\.gitkeep|\.keep",  # placeholder for an empty folder
)
_FOLDERS = (
    r"_temporary",  # Hadoop's committer: uncommitted output
    r"\.spark-staging-.+",  # Spark: uncommitted partitions
    r"\.hive-staging.*",  # Hive: the same
    r"_delta_log",  # a Delta table's log
    r"_spark_metadata",  # the log of Spark's streaming file sink
    r"__MACOSX",  # AppleDouble files in a zip made by macOS
    r"\.Spotlight-V100|\.Trashes|\.fseventsd|\.TemporaryItems|\.AppleDouble",  # macOS on foreign disks
    r"\$RECYCLE\.BIN|System Volume Information",  # Windows
    r"\.Trash-[0-9]+",  # Linux desktops
)
_FILE, _FOLDER = (
    re.compile("|".join(f"(?:{each})" for each in patterns), re.DOTALL) for patterns in (_FILES, _FOLDERS)
)


def is_marker(name: str) -> bool:
    """Return whether an object's name, the last part of its key, is a marker's."""
    return _FILE.fullmatch(name) is not None


def has_marker_folder(parts: Sequence[str]) -> bool:
    """Return whether one of these folder names is a marker folder's, which holds no data."""
    return any(map(_FOLDER.fullmatch, parts))

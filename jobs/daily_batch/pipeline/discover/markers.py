"""Names of what tools leave beside data: never data, so such an object is left out and counted as ignored.

Only what its maker keeps for itself is here, and no habit: `_x.json` and `.hidden` may be data. Users and rooms are
folders that the tenant names, so no rule here is asked about them.
"""

import re
from collections.abc import Sequence

# Each pattern matches a whole name, and the case counts unless the pattern says otherwise.
_FILES = (
    # Spark, Hadoop, Databricks, Parquet, EMR
    r"_SUCCESS",  # a job's committer: all parts are there
    r"_(?:started|committed)_.*",  # Databricks' commit protocol; `_committed_vacuum…` too
    r"_(?:common_)?metadata",  # Parquet's summary of the files beside it
    r"\..+\.crc",  # Hadoop's checksum of the file that it names
    r".+_\$folder\$",  # EMR's and Hadoop's stand-in for a folder on S3
    r".+\._COPYING_",  # `hdfs dfs -put` has not written the file to its end
    r"\.distcp\.tmp\..+",  # neither has distcp
    # macOS
    r"\._.*",  # AppleDouble: another file's attributes
    r"\.DS_Store",  # Finder's view of the folder
    r"\.localized",  # says that Finder translates the folder's name
    r"Icon\r",  # the folder's icon
    # Windows
    r"(?i:(?:eh)?thumbs\.db|desktop\.ini)",  # Explorer's pictures and view of the folder
    # Linux, editors, version control
    r"\.nfs[0-9a-f]{16,}",  # NFS: a deleted file that someone still reads
    r"\.fuse_hidden[0-9a-f]{16,}",  # FUSE: the same
    r"\.directory",  # KDE's view of the folder
    r"\.#.*",  # Emacs' lock of a file
    r"\..+\.sw[a-p]",  # vim's swap file
    r"\.gitkeep|\.keep",  # keep an empty folder
)
_FOLDERS = (
    r"_temporary",  # Hadoop's committer: what no job has committed
    r"\.spark-staging-.+",  # Spark: partitions that it has not overwritten yet
    r"\.hive-staging.*",  # Hive: the same
    r"_delta_log",  # Delta's log of the table
    r"_spark_metadata",  # the log of Spark's streaming sink
    r"__MACOSX",  # macOS' zip: AppleDouble files
    r"\.Spotlight-V100|\.Trashes|\.fseventsd|\.TemporaryItems|\.AppleDouble",  # macOS on a foreign disk
    r"\$RECYCLE\.BIN|System Volume Information",  # Windows
    r"\.Trash-[0-9]+",  # Linux desktops
)
_FILE, _FOLDER = (
    re.compile("|".join(f"(?:{each})" for each in patterns), re.DOTALL) for patterns in (_FILES, _FOLDERS)
)


def is_marker(name: str) -> bool:
    """Whether an object's own name, the last part of its key, says that it is no data."""
    return _FILE.fullmatch(name) is not None


def has_marker_folder(parts: Sequence[str]) -> bool:
    """Whether one of these folders holds no data."""
    return any(map(_FOLDER.fullmatch, parts))

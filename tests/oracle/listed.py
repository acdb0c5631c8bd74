"""What keys and links decide before an object is read: the first three rules of section "Objects"."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from posixpath import dirname, join, normpath
from typing import NamedTuple, TypeVar

NEVER_DATA = ["_SUCCESS", "_started_*", "_committed_*", "_metadata", "_common_metadata", ".?*.crc", "?*_$folder$"]
NEVER_DATA += ["?*._COPYING_", ".distcp.tmp.?*", "._*", ".DS_Store", ".localized", "Icon\r", ".directory", ".#*"]
NEVER_DATA += [f".?*.sw{letter}" for letter in "abcdefghijklmnop"] + [".gitkeep", ".keep"]
IN_ANY_CASE = ["thumbs.db", "ehthumbs.db", "desktop.ini"]
NEVER_DATA_BELOW = ["_temporary", ".spark-staging-?*", ".hive-staging*", "_delta_log", "_spark_metadata", "__MACOSX"]
NEVER_DATA_BELOW += [".Spotlight-V100", ".Trashes", ".fseventsd", ".TemporaryItems", ".AppleDouble", "$RECYCLE.BIN"]
NEVER_DATA_BELOW += ["System Volume Information"]
NUMBERED = {".nfs": "0123456789abcdef", ".fuse_hidden": "0123456789abcdef", ".Trash-": "0123456789"}
FEWEST_DIGITS = {".nfs": 16, ".fuse_hidden": 16, ".Trash-": 1}


Item = TypeVar("Item")


class Link(NamedTuple):
    """A symbolic link in place of an object, with its target."""

    target: str


def is_never_data(name: str) -> bool:
    alike = any(fnmatchcase(name, pattern) for pattern in NEVER_DATA)
    return alike or name.lower() in IN_ANY_CASE or _is_numbered(name, ".nfs") or _is_numbered(name, ".fuse_hidden")


def is_never_data_below(folder: str) -> bool:
    return any(fnmatchcase(folder, pattern) for pattern in NEVER_DATA_BELOW) or _is_numbered(folder, ".Trash-")


def _is_numbered(name: str, begin: str) -> bool:
    digits = name.removeprefix(begin)
    return name.startswith(begin) and len(digits) >= FEWEST_DIGITS[begin] and set(digits) <= set(NUMBERED[begin])


def is_ignored(key: str, folder: str | None) -> bool:
    """Return whether an object is ignored; `folder` is the export's, or None for a message."""
    above, _, name = key.rpartition("/")
    below = above[len(folder) :].split("/") if folder else []
    return is_never_data(name) or any(map(is_never_data_below, below))


def cannot_be_named(key: str) -> bool:
    """Return whether a file on a local file system has a key that cannot be read."""
    stem = key.rstrip("0123456789")
    reserved = stem != key and stem.endswith("#")
    odd = any(part in ("", ".", "..") for part in key.split("/")) or any(ord(c) < 32 or ord(c) == 127 for c in key)
    return reserved or odd


def follow_links(tenant: str, objects: Mapping[str, Item | Link]) -> Iterator[tuple[str, Item | Link]]:
    """Yield each object, and the targets of links to objects and folders; a refused link stays a link."""
    for key, item in objects.items():
        if not isinstance(item, Link):
            yield key, item
            continue
        target = normpath(join(dirname(key), item.target))
        below = [other for other, found in objects.items() if other.startswith(f"{target}/") and found is not item]
        if not target.startswith(f"{tenant}/") or key.startswith(f"{target}/"):
            yield key, item
        elif target in objects and target != key:
            yield key, objects[target]
        elif below:
            yield from ((key + other[len(target) :], objects[other]) for other in below)
        else:
            yield key, item

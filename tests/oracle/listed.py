"""Decisions by keys and links before an object is read: the first three rules of section "Objects"."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from posixpath import dirname, join, normpath
from typing import NamedTuple, TypeVar

MARKERS = ["_SUCCESS", "_started_*", "_committed_*", "_metadata", "_common_metadata", ".?*.crc", "?*_$folder$"]
MARKERS += ["?*._COPYING_", ".distcp.tmp.?*", "._*", ".DS_Store", ".localized", "Icon\r", ".directory", ".#*"]
MARKERS += [f".?*.sw{letter}" for letter in "abcdefghijklmnop"] + [".gitkeep", ".keep"]
CASE_INSENSITIVE_MARKERS = ["thumbs.db", "ehthumbs.db", "desktop.ini"]
MARKER_FOLDERS = ["_temporary", ".spark-staging-?*", ".hive-staging*", "_delta_log", "_spark_metadata", "__MACOSX"]
MARKER_FOLDERS += [".Spotlight-V100", ".Trashes", ".fseventsd", ".TemporaryItems", ".AppleDouble", "$RECYCLE.BIN"]
MARKER_FOLDERS += ["System Volume Information"]
NUMBERED_MARKERS = {".nfs": "0123456789abcdef", ".fuse_hidden": "0123456789abcdef", ".Trash-": "0123456789"}
MIN_DIGITS = {".nfs": 16, ".fuse_hidden": 16, ".Trash-": 1}


Item = TypeVar("Item")


class Link(NamedTuple):
    """A symbolic link in place of an object, with its target."""

    target: str


def is_marker(name: str) -> bool:
    matches = any(fnmatchcase(name, pattern) for pattern in MARKERS)
    return (
        matches
        or name.lower() in CASE_INSENSITIVE_MARKERS
        or _is_numbered(name, ".nfs")
        or _is_numbered(name, ".fuse_hidden")
    )


def is_marker_folder(folder: str) -> bool:
    return any(fnmatchcase(folder, pattern) for pattern in MARKER_FOLDERS) or _is_numbered(folder, ".Trash-")


def _is_numbered(name: str, prefix: str) -> bool:
    digits = name.removeprefix(prefix)
    return (
        name.startswith(prefix) and len(digits) >= MIN_DIGITS[prefix] and set(digits) <= set(NUMBERED_MARKERS[prefix])
    )


def is_ignored(key: str, folder: str | None) -> bool:
    """Return whether an object is ignored; `folder` is the export's, or None for a message."""
    above, _, name = key.rpartition("/")
    below = above[len(folder) :].split("/") if folder else []
    return is_marker(name) or any(map(is_marker_folder, below))


def has_invalid_name(key: str) -> bool:
    """Return whether a local file has a key that cannot be read."""
    stem = key.rstrip("0123456789")
    reserved = stem != key and stem.endswith("#")
    invalid = any(part in ("", ".", "..") for part in key.split("/")) or any(ord(c) < 32 or ord(c) == 127 for c in key)
    return reserved or invalid


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

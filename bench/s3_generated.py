"""Serve the listing of a tenant's day of any size over S3's protocol: pages are made from numbers, nothing is stored.

Each of `rooms` rooms has two UTC folders of the business day, each with PER_FOLDER keys: messages, and as the last one
a marker (`_SUCCESS`). One in LATE_EVERY messages of the second folder was stored two hours late. After all rooms come
STRAYS objects that no run reads.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from urllib.parse import unquote

from bench.s3_protocol import XMLNS, Request, Service

PER_FOLDER = 250
PER_ROOM = 2 * PER_FOLDER
USER_ROOMS = 10
FOLDERS = ("2025/08/11", "2025/08/12")
LATE_EVERY = 10
STRAYS = 1_000
OLD = datetime(2025, 8, 1, tzinfo=UTC)
PAGE = 1_000  # the most that S3 returns; a multiple of PER_FOLDER
CHAT, STRAY = "acme/chat/", "acme/old/"


class GeneratedListing(Service):
    """Lists the bucket `bench` from numbers; other buckets are stored."""

    def __init__(self, keys: int, *, bucket: str) -> None:
        super().__init__()
        self.rooms, self.bucket = keys // PER_ROOM, bucket

    def handle(self, request: Request) -> bytes:
        """Answer a listing of the generated bucket, which has no object to get."""
        path, _, query = request.target.partition("?")
        name, _, key = unquote(path)[1:].partition("/")
        if name != self.bucket:
            return super().handle(request)
        if key:
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        parameters = dict(pair.partition("=")[::2] for pair in query.split("&"))
        prefix = unquote(parameters.get("prefix", ""))
        token = int(parameters.get("continuation-token", "0"))
        if "delimiter" in parameters:
            return self._list_folders(prefix, token)
        return self._list_objects(prefix, token)

    def _list_folders(self, prefix: str, start: int) -> bytes:
        if prefix == CHAT:
            users = -(-self.rooms // USER_ROOMS)
            names = [f"user{number:07d}" for number in range(start, min(start + PAGE, users))]
            return _respond("", [f"{CHAT}{name}/" for name in names], start + PAGE if start + PAGE < users else None)
        if prefix.startswith(CHAT) and prefix.count("/") == CHAT.count("/") + 1:
            first = int(prefix[len(CHAT) + len("user") : -1]) * USER_ROOMS
            rooms = range(min(USER_ROOMS, self.rooms - first))
            return _respond("", [f"{prefix}room{number}/" for number in rooms], None)
        return _respond("", [], None)

    def _list_objects(self, prefix: str, start: int) -> bytes:
        for folder in FOLDERS:
            if prefix.startswith(CHAT) and prefix.endswith(f"/messages/{folder}/"):
                return _respond(_contents(folder).replace("@", prefix), [], None)
        if prefix.rstrip("/") != "acme" and prefix != CHAT:
            return _respond("", [], None)
        # All of the tenant, in order: four folders of two rooms on a page.
        total = self.rooms * PER_ROOM
        parts = [self._folder(number) for number in range(start // PER_FOLDER, min(start + PAGE, total) // PER_FOLDER)]
        with_strays = prefix != CHAT
        if start + PAGE >= total and with_strays:
            parts.append("".join(_content(f"{STRAY}{number:06d}.json", 900, OLD) for number in range(STRAYS)))
        return _respond("".join(parts), [], start + PAGE if start + PAGE < total else None)

    def _folder(self, number: int) -> str:
        room, part = divmod(number, 2)
        user, room = divmod(room, USER_ROOMS)
        prefix = f"{CHAT}user{user:07d}/room{room}/messages/{FOLDERS[part]}/"
        return _contents(FOLDERS[part]).replace("@", prefix)


@cache
def _contents(folder: str) -> str:
    """Return the entries of a folder's objects, with `@` for its prefix."""
    first = datetime.strptime(folder, "%Y/%m/%d").replace(tzinfo=UTC) + timedelta(hours=15 * (folder == FOLDERS[0]))
    entries = []
    for number in range(PER_FOLDER - 1):
        sent = first + timedelta(minutes=number, seconds=56)
        late = folder == FOLDERS[1] and number % LATE_EVERY == 0
        name = f"@{sent:%H-%M-%S}.000Z-msg_{number * 2654435761 % 2**32:08x}.json"
        entries.append(_content(name, 900 + number, sent + timedelta(hours=2 * late, seconds=30)))
    return "".join([*entries, _content("@_SUCCESS", 1, first + timedelta(hours=8))])


def _content(key: str, size: int, stored: datetime) -> str:
    return (
        f"<Contents><Key>{key}</Key><LastModified>{stored:%Y-%m-%dT%H:%M:%S.000Z}</LastModified>"
        f'<ETag>"{size * 2654435761:032x}"</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>'
    )


def _respond(contents: str, prefixes: list[str], token: int | None) -> bytes:
    folders = "".join(f"<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>" for prefix in prefixes)
    more = "" if token is None else f"<NextContinuationToken>{token}</NextContinuationToken>"
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult {XMLNS}><Name>bench</Name>'
        f"<IsTruncated>{'false' if token is None else 'true'}</IsTruncated>{more}{contents}{folders}</ListBucketResult>"
    ).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

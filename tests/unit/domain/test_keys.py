"""Tenant ids, keys and URLs: only safe tenants pass, keys keep every character, URLs have five forms."""

import contextlib
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daily_batch.domain.keys import (
    EXPORT_TEMPLATE,
    MessageKey,
    analytics_folder,
    check_export_template,
    check_tenant,
    export_folder,
    parse_message_key,
)
from daily_batch.domain.url import StorageUrl, parse_url
from daily_batch.errors import UsageError

HOSTILE_TENANTS = [
    *("..", ".", "a/b", "/a", "a/", "%2e%2e", "a\\b", "a\x00b", "", " ", "a b", "a" * 300, "a" * 64, "*", "a*", "?"),
    *(
        "{a,b}",
        "[a]",
        "аcme",
        "acme\n",
        "\nacme",
        "acme\r\n",
        "_acme",
        "-acme",
        "a.b",
        "ａcme",
        "acmé",
        "a'b",
        'a"b',
        "１",
    ),
    *("a;b", "a=b", "a,b", "\ud800", "acme\u200b"),
]


@pytest.mark.parametrize("tenant", ["acme", "acme-2", "tenant123", "A_b-9", "0", "a" * 63])
def test_plain_tenant_is_accepted_unchanged(tenant: str) -> None:
    assert check_tenant(tenant) == tenant


@pytest.mark.parametrize("tenant", HOSTILE_TENANTS, ids=ascii)
def test_other_tenants_are_refused_and_escaped_in_the_error(tenant: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_tenant(tenant)
    message = str(caught.value)
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 400


@pytest.mark.parametrize("value", [None, 7, ["acme"], b"acme"])
def test_tenant_that_is_not_text_is_refused(value: object) -> None:
    with pytest.raises(UsageError):
        check_tenant(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("tenant", HOSTILE_TENANTS, ids=ascii)
def test_unsafe_tenant_has_no_folder(tenant: str) -> None:
    with pytest.raises(UsageError):
        analytics_folder(tenant)
    with pytest.raises(UsageError):
        export_folder(EXPORT_TEMPLATE, tenant, date(2025, 8, 12))


def to_utc_us(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def test_platforms_example_is_parsed() -> None:
    key = "tenant123/chat/user456/roomA/messages/2025/08/05/12-34-56.789Z-msg_abc123.json"
    expected = MessageKey("tenant123", "user456", "roomA", to_utc_us("2025-08-05T12:34:56") + 789_000, "msg_abc123")
    assert parse_message_key(key) == expected


@pytest.mark.parametrize(
    "user", ["_bob", ".carol", "a=b", "山田 太郎", "a b", "a#b", "100%", "a%2Fb", "messages", "chat", "e\u0301", "a\nb"]
)
@pytest.mark.parametrize("room", ["roomA", "messages", "_r", "部屋", "uploads"])
def test_any_user_and_room_is_parsed_exactly(user: str, room: str) -> None:
    found = parse_message_key(f"acme/chat/{user}/{room}/messages/2025/08/05/00-00-00.000Z-m1.json")
    assert found == MessageKey("acme", user, room, to_utc_us("2025-08-05T00:00:00"), "m1")


@pytest.mark.parametrize(
    ("name", "micros", "message_id"),
    [
        ("12-34-56Z-m.json", 0, "m"),
        ("12-34-56.7Z-m.json", 700_000, "m"),
        ("12-34-56.123456Z-m.json", 123_456, "m"),
        ("12-34-56.123456999Z-m.json", 123_456, "m"),
        ("12-34-56.789Z-m.json.gz", 789_000, "m"),
        ("12-34-56.789Z-m.json.zst", 789_000, "m"),
        ("12-34-56.789Z-m.json.json", 789_000, "m.json"),
        ("12-34-56.789Z-m.gz.json", 789_000, "m.gz"),
        ("12-34-56.789Z-12-34-56.789Z-m.json", 789_000, "12-34-56.789Z-m"),
        ("12-34-56.789Z-識別子 #1.json", 789_000, "識別子 #1"),
        ("12-34-56.789Z--.json", 789_000, "-"),
    ],
)
def test_file_names_give_time_and_id(name: str, micros: int, message_id: str) -> None:
    found = parse_message_key(f"acme/chat/u/r/messages/2025/08/05/{name}")
    assert found == MessageKey("acme", "u", "r", to_utc_us("2025-08-05T12:34:56") + micros, message_id)


def test_leap_second_is_read_as_the_second_before() -> None:
    found = parse_message_key("acme/chat/u/r/messages/2016/12/31/23-59-60.500Z-m.json")
    assert found is not None
    assert found.sent_us == to_utc_us("2016-12-31T23:59:59") + 500_000


@pytest.mark.parametrize(
    "key",
    [
        "",
        "acme/chat/u/r/messages/2025/08/05/",
        "acme/chat/u/r/messages/2025/08/05/12-34-56.789Z-.json",
        "acme/chat/u/r/messages/2025/08/05/12-34-56.789Z-m.txt",
        "acme/chat/u/r/messages/2025/08/05/12-34-56.789Z-m.json\n",
        "acme/chat/u/r/messages/2025/08/05/12-34-56.789-m.json",
        "acme/chat/u/r/messages/2025/08/05/12-34-56.Z-m.json",
        "acme/chat/u/r/messages/2025/08/05/12-34-56.1234567890Z-m.json",
        "acme/chat/u/r/messages/2025/08/05/24-00-00.000Z-m.json",
        "acme/chat/u/r/messages/2025/08/05/12-60-00.000Z-m.json",
        "acme/chat/u/r/messages/2025/08/05/12-34-60.000Z-m.json",
        "acme/chat/u/r/messages/2025/08/05/1２-34-56.789Z-m.json",
        "acme/chat/u/r/messages/2025/02/30/12-34-56.789Z-m.json",
        "acme/chat/u/r/messages/2025/13/01/12-34-56.789Z-m.json",
        "acme/chat/u/r/messages/0000/01/01/12-34-56.789Z-m.json",
        "acme/chat/u/r/messages/2025/8/5/12-34-56.789Z-m.json",
        "acme/chat/u/r/uploads/2025/08/05/12-34-56.789Z-m.json",
        "acme/chat/u/r/Messages/2025/08/05/12-34-56.789Z-m.json",
        "acme/chat/u/messages/2025/08/05/12-34-56.789Z-m.json",
        "acme/chat/u/r/x/messages/2025/08/05/12-34-56.789Z-m.json",
        "acme/chat/u/r/messages/2025/08/05/sub/12-34-56.789Z-m.json",
        "acme/chat//r/messages/2025/08/05/12-34-56.789Z-m.json",
        "/acme/chat/u/r/messages/2025/08/05/12-34-56.789Z-m.json",
        "../chat/u/r/messages/2025/08/05/12-34-56.789Z-m.json",
        "x/acme/chat/u/r/messages/2025/08/05/12-34-56.789Z-m.json",
        "acme/exports/messages/2025/08/05/12-34-56.789Z-m.json",
    ],
)
def test_other_keys_are_not_messages(key: str) -> None:
    assert parse_message_key(key) is None


NAMES = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1, max_size=30)


@given(NAMES, NAMES, NAMES, st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)))
def test_key_parses_to_what_it_was_built_from(user: str, room: str, message_id: str, sent: datetime) -> None:
    # strftime does not pad years below 1000 everywhere.
    folder = f"{sent.year:04}/{sent:%m}/{sent:%d}"
    found = parse_message_key(f"acme/chat/{user}/{room}/messages/{folder}/{sent:%H-%M-%S.%f}Z-{message_id}.json")
    assert found is not None
    assert (found.tenant, found.user, found.room, found.message_id) == ("acme", user, room, message_id)
    assert found.sent_us == (sent - datetime(1970, 1, 1)) // timedelta(microseconds=1)


@given(st.text(max_size=200))
def test_parser_never_fails(key: str) -> None:
    assert parse_message_key(key) is None


def test_export_folders_follow_the_template() -> None:
    assert export_folder(EXPORT_TEMPLATE, "acme", date(2025, 8, 5)) == "acme/exports/messages/2025/08/05/"
    assert export_folder("{tenant}/x/{yyyy}-{mm}-{dd}", "acme", date(2025, 8, 5)) == "acme/x/2025-08-05/"
    assert export_folder("{tenant}/{dd}.{mm}.{yyyy}/{tenant}/", "a-2", date(2025, 8, 5)) == "a-2/05.08.2025/a-2/"


@pytest.mark.parametrize(
    "template",
    [
        *("", "{tenant}", "{tenant}/{yyyy}/{mm}", "x/{tenant}/{yyyy}/{mm}/{dd}", "{tenant}-x/{yyyy}/{mm}/{dd}"),
        *("{tenant}/../{yyyy}/{mm}/{dd}", "{tenant}//{yyyy}/{mm}/{dd}", "/{tenant}/{yyyy}/{mm}/{dd}"),
        *("{tenant}/{room}/{yyyy}/{mm}/{dd}", "{tenant}/{yyyy!r}/{yyyy}/{mm}/{dd}", "{tenant}/\\{yyyy}/{mm}/{dd}"),
        *("{tenant}/{yyyy}/{mm}/{dd}//", "{tenant}/{/{yyyy}/{mm}/{dd}", "{tenant}/\n{yyyy}/{mm}/{dd}"),
    ],
)
def test_template_that_could_mix_tenants_or_days_is_refused(template: str) -> None:
    with pytest.raises(UsageError):
        check_export_template(template)


def test_five_url_forms_are_parsed() -> None:
    def parts(text: str) -> tuple[str, str, str, str]:
        url = parse_url(text)
        return url.kind, url.bucket, url.account, url.path

    assert parts("samples/") == ("file", "", "", "samples")
    assert parts("/data/in dir/#1/100%") == ("file", "", "", "/data/in dir/#1/100%")
    assert parts("../data") == ("file", "", "", "../data")
    assert parts("file:///data/in%20dir") == ("file", "", "", "/data/in dir")
    assert parts("s3://my-bucket.x") == ("s3", "my-bucket.x", "", "")
    assert parts("s3://my-bucket/a/b c/") == ("s3", "my-bucket", "", "a/b c")
    assert parts("abfss://box@acct1.dfs.core.windows.net/a/b") == ("abfss", "box", "acct1", "a/b")
    assert parts("abfss://box@acct1.dfs.core.windows.net") == ("abfss", "box", "acct1", "")
    assert parts("/Volumes/main/chat/raw/") == ("volume", "", "", "/Volumes/main/chat/raw")


@pytest.mark.parametrize(
    "text", ["samples", "./samples", "/data/in", "file:///data/in%20dir", "s3://my-bucket/a", "/Volumes/a/b/c"]
)
def test_url_keeps_the_form_that_the_user_wrote(text: str) -> None:
    assert str(parse_url(text)) == text
    assert str(parse_url(text).child("acme/analytics")) == f"{text}/acme/analytics"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "a\x00b",
            "s3://",
            "s3:/b/x",
            "s3://UPPER/x",
            "s3://buc*/x",
            "s3://{a,b}/x",
            "s3://bu[c]k/x",
            "s3://b?x=1",
        ),
        *("s3://bucket/a?versionId=1", "s3://bucket/a#f", "s3://bucket/a%2e", "s3://bucket/../x", "s3://bucket/a/../b"),
        *(
            "s3://bucket/a//b",
            "s3://bucket/a*",
            "s3://bucket/{a,b}",
            "s3://bucket/a\\b",
            "s3://bucket/a\nb",
            "s3://bucket/./a",
        ),
        *(
            "s3a://bucket/x",
            "gs://bucket/x",
            "https://bucket.s3.amazonaws.com/x",
            "dbfs:/x",
            "file:relative",
            "file://host/x",
        ),
        *("file:///a/../b", "file:///a/%2e%2e/b", "file:///a?b", "file:///a%00", "/Volumes/a/../../etc"),
        *(
            "abfss://box/x",
            "abfss://box@acct.blob.core.windows.net/x",
            "abfss://box@acct.dfs.core.windows.net.evil.io/x",
        ),
        *("abfss://b*x@acct.dfs.core.windows.net/x", "abfss://box@acct.dfs.core.windows.net/x?sig=1"),
        *("wasbs://box@acct.blob.core.windows.net/x", "C:\\data"),
    ],
    ids=ascii,
)
def test_other_url_forms_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_url(text)


@pytest.mark.parametrize(
    "text",
    [
        "s3://AKIA:hunter2@bucket/x",
        "abfss://box:hunter2@acct.dfs.core.windows.net/x",
        "https://u:hunter2@h/x",
        "s3://bucket/x?sig=hunter2",
    ],
)
def test_credentials_are_refused_and_never_repeated(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_url(text)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("relative", ["", "..", "a/../b", "/etc", "a//b", "a/", "./a", "a\x00"])
@pytest.mark.parametrize("root", ["data", "s3://bucket/x", "/Volumes/a/b/c", "file:///data"])
def test_child_url_never_leaves_its_root(root: str, relative: str) -> None:
    with pytest.raises(UsageError):
        parse_url(root).child(relative)


def test_children_are_below_their_root_in_every_url_form() -> None:
    assert parse_url("s3://bucket").child("a/b").path == "a/b"
    assert parse_url("/").child("a").path == "/a"
    assert parse_url("file:///a%20b").child("c d").path == "/a b/c d"
    assert str(parse_url("file:///a%20b").child("c d")) == "file:///a%20b/c%20d"
    assert parse_url("file:///a%20b/") == parse_url("/a b")


@given(st.text(max_size=60))
def test_url_is_parsed_or_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert isinstance(parse_url(text), StorageUrl)

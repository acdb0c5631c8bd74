"""Synthetic days: expected counts, reproducibility, and the sizes and limits of the platform."""

import gzip
import json
import zlib
from collections import Counter, defaultdict
from dataclasses import fields
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from backports import zstd

from daily_batch.domain.keys import parse_message_key
from daily_batch.errors import UsageError
from daily_batch.synthetic import ExpectedCounts, FaultRates, Tally, generate, iterate_objects
from tests.support.reference_day import ReferenceCounts, count_day

DAY = date(2025, 8, 12)
TOKYO = "Asia/Tokyo"
SAMPLES = Path(__file__).parents[3] / "samples"


def read_files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def read_records(root: Path) -> list[dict[str, object]]:
    files = sorted((root / "acme/exports").rglob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def assert_counts(expected: ExpectedCounts, found: ReferenceCounts) -> None:
    summary = found.summary()
    outcomes = {"written": summary.pop("written"), **found.outcomes}
    assert {name: expected.records[name] for name in outcomes} == outcomes
    assert expected.records["seen"] == sum(outcomes.values())
    assert expected.objects == {"listed": found.listed, "unreadable": found.unreadable}
    assert expected.rejects == dict(sorted(found.rejects.items()))
    assert {name: expected._asdict()[name] for name in summary} == summary


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_expected_counts_of_message_objects_match_the_reference(tmp_path: Path, seed: int) -> None:
    expected = generate(messages=1_000, layout="messages", seed=seed, out=tmp_path, rates=FaultRates.rich())
    assert_counts(expected, count_day(tmp_path, "acme", DAY, TOKYO))


@pytest.mark.parametrize("zone", [TOKYO, "America/New_York", "Asia/Kathmandu"])
def test_expected_counts_of_an_export_match_the_reference(tmp_path: Path, zone: str) -> None:
    expected = generate(
        messages=2_000,
        layout="export",
        seed=5,
        out=tmp_path,
        zone=zone,
        day=date(2025, 11, 2),  # 25 hours in New York
        rates=FaultRates.rich(),
        files=8,
        compression="mixed",
    )
    assert expected.objects == {"listed": 8, "unreadable": 2}
    assert_counts(expected, count_day(tmp_path, "acme", date(2025, 11, 2), zone))


@pytest.mark.parametrize("layout", ["messages", "export"])
def test_expected_counts_hold_over_many_blocks(tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daily_batch.synthetic.write.BLOCK_MESSAGES", 300)
    expected = generate(messages=3_000, layout=layout, seed=9, out=tmp_path, files=2)
    assert_counts(expected, count_day(tmp_path, "acme", DAY, TOKYO))


def test_expected_counts_are_written_beside_the_data(tmp_path: Path) -> None:
    expected = generate(messages=50, layout="export", seed=1, out=tmp_path, tenant="globex")
    assert json.loads((tmp_path / "globex-truth.json").read_text()) == expected._asdict()


@pytest.mark.parametrize("layout", ["messages", "export"])
def test_rich_rates_produce_every_outcome_and_kind_of_drift(tmp_path: Path, layout: str) -> None:
    expected = generate(messages=600, layout=layout, seed=2, out=tmp_path, rates=FaultRates.rich(), files=4)
    absent = {"erased", "other_day"} if layout == "export" else {"erased"}
    assert {outcome for outcome, times in expected.records.items() if not times} == absent
    flags = {
        *("message_id_from_alias", "numeric_id", "room_id_from_alias", "naive_timestamp", "timestamp_format"),
        *("role_case", "unknown_role", "null_content", "empty_content", "aliased_field", "tenant_conflict"),
    }
    if layout == "messages":
        flags |= {"message_id_from_path", "user_id_from_path", "user_conflict", "room_id_from_path"}
        flags |= {"room_conflict", "timestamp_from_path"}
    assert expected.flags.keys() == flags
    assert expected.rejects.keys() == {
        *("invalid_json", "invalid_utf8", "duplicate_key", "not_an_object"),
        *("invalid_timestamp", "invalid_id", "timestamp_outside_window"),
    }


@pytest.mark.parametrize("layout", ["messages", "export"])
def test_day_without_faults_has_no_rejects_and_no_flags(tmp_path: Path, layout: str) -> None:
    expected = generate(messages=500, layout=layout, seed=3, out=tmp_path, rates=FaultRates.none())
    assert expected.records == {**dict.fromkeys(expected.records, 0), "seen": 500, "written": 500}
    assert not expected.flags
    assert not expected.rejects
    assert set(expected.by_role) == {"user", "assistant"}


def test_one_process_and_two_write_the_same_bytes(tmp_path: Path) -> None:
    for workers in (1, 2):
        for tenant, layout in (("acme", "export"), ("globex", "messages")):
            generate(
                messages=400,
                layout=layout,
                seed=4,
                out=tmp_path / str(workers),
                tenant=tenant,
                files=3,
                workers=workers,
            )
    assert read_files(tmp_path / "1") == read_files(tmp_path / "2")


def test_another_seed_writes_another_day(tmp_path: Path) -> None:
    for seed in (1, 2):
        generate(messages=100, layout="export", seed=seed, out=tmp_path / str(seed))
    assert read_files(tmp_path / "1") != read_files(tmp_path / "2")


def test_iterate_objects_yields_what_generate_writes(tmp_path: Path) -> None:
    expected = generate(messages=300, layout="messages", seed=6, out=tmp_path)
    tally = Tally()
    objects = dict(iterate_objects(messages=300, seed=6, tally=tally))
    on_disk = read_files(tmp_path)
    del on_disk["acme-truth.json"]
    assert objects == on_disk
    assert tally.expected_counts() == expected


def test_message_objects_are_pretty_printed_with_platform_keys(tmp_path: Path) -> None:
    generate(messages=200, layout="messages", seed=7, out=tmp_path, rates=FaultRates.none())
    texts = read_files(tmp_path / "acme")
    for name, text in texts.items():
        key = parse_message_key(f"acme/{name}")
        body = json.loads(text)
        assert key is not None
        assert (key.user, key.room, key.message_id) == (body["user_id"], body["room_id"], body["message_id"])
        assert key.sent_us == round(datetime.fromisoformat(body["timestamp"]).timestamp() * 1e6)
        assert text.decode() == json.dumps(body, ensure_ascii=False, indent=2)


def test_compressions_hold_the_same_lines(tmp_path: Path) -> None:
    for compression in ("none", "gzip", "zstd"):
        generate(messages=200, layout="export", seed=8, out=tmp_path / compression, compression=compression)
    part = "acme/exports/messages/2025/08/12/part-00000.jsonl"
    plain = (tmp_path / "none" / part).read_bytes()
    assert gzip.decompress((tmp_path / "gzip" / f"{part}.gz").read_bytes()) == plain
    compressed = (tmp_path / "zstd" / f"{part}.zst").read_bytes()
    assert zstd.decompress(compressed) == plain


def test_rooms_and_users_stay_within_the_platform_limits(tmp_path: Path) -> None:
    generate(
        messages=30_000, layout="export", seed=1, out=tmp_path, rates=FaultRates.none(), compression="none", files=3
    )
    records = read_records(tmp_path)
    times = [str(record["timestamp"]) for record in records]
    assert times == sorted(times)
    rooms = Counter(record["room_id"] for record in records)
    assert 300 < max(rooms.values()) <= 500
    owners = defaultdict(set)
    sent_by_user = defaultdict(list)
    for record in records:
        owners[record["room_id"]].add(record["user_id"])
        if record["role"] == "user":
            sent_by_user[record["user_id"]].append(datetime.fromisoformat(str(record["timestamp"])))
    assert all(len(users) == 1 for users in owners.values())
    assert len(sent_by_user) < len(rooms)
    for times in sent_by_user.values():
        assert all(later - first >= timedelta(minutes=1) for first, later in zip(times, times[10:], strict=False))
        assert all(later - first >= timedelta(hours=1) for first, later in zip(times, times[100:], strict=False))


def test_room_is_a_conversation_in_turns(tmp_path: Path) -> None:
    generate(messages=5_000, layout="export", seed=1, out=tmp_path, rates=FaultRates.none(), compression="none")
    turns = defaultdict(list)
    for record in read_records(tmp_path):
        turns[record["room_id"]].append(record["role"])
    for roles in turns.values():
        assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"] * (len(roles) % 2)


def test_messages_have_platform_sizes_and_mostly_distinct_content(tmp_path: Path) -> None:
    generate(messages=5_000, layout="export", seed=1, out=tmp_path, rates=FaultRates.none(), compression="none")
    sizes = [len(json.dumps(body, ensure_ascii=False).encode()) for body in read_records(tmp_path)]
    assert 700 < sum(sizes) / len(sizes) < 900
    assert max(sizes) < 128 * 1024
    contents = [body["content"] for body in read_records(tmp_path)]
    assert len(set(contents)) > 0.98 * len(contents)
    assert all(any(mark in str(content) for content in contents) for mark in ("です", "the ", "\n", '"', "😊", "```"))


def test_day_without_messages_is_empty(tmp_path: Path) -> None:
    for layout in ("messages", "export"):
        expected = generate(messages=0, layout=layout, seed=1, out=tmp_path / layout)
        assert expected.records["seen"] == expected.objects["listed"] == 0
        assert list(read_files(tmp_path / layout)) == ["acme-truth.json"]


def test_tenants_folder_is_never_mixed_with_another_day(tmp_path: Path) -> None:
    generate(messages=10, layout="export", seed=1, out=tmp_path)
    before = read_files(tmp_path)
    with pytest.raises(UsageError, match="exists"):
        generate(messages=10, layout="export", seed=2, out=tmp_path)
    assert read_files(tmp_path) == before


@pytest.mark.parametrize("tenant", ["..", "a/b", "", "テナント"])
def test_invalid_tenant_is_refused_before_anything_is_written(tmp_path: Path, tenant: str) -> None:
    with pytest.raises(UsageError):
        generate(messages=10, layout="export", seed=1, out=tmp_path / "out", tenant=tenant)
    assert not (tmp_path / "out").exists()


def test_rates_are_parsed_from_a_preset_and_pairs() -> None:
    assert FaultRates.parse("default") == FaultRates()
    assert FaultRates.parse("none,duplicates=0.25, id_alias=0.1") == FaultRates(
        **{**{field.name: 0.0 for field in fields(FaultRates)}, "duplicates": 0.25, "id_alias": 0.1}
    )
    assert FaultRates.parse("invalid_json=0.5").invalid_json == 0.5
    assert FaultRates.parse("rich,empty=0") != FaultRates.parse("rich")


@pytest.mark.parametrize(
    "text", ["duplicate=0.1", "duplicates", "duplicates=x", "duplicates=0.9", "empty=-1", "empty=nan"]
)
def test_invalid_rates_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        FaultRates.parse(text)


def decompress(name: str, data: bytes) -> bytes:
    """Return a file's content; another machine's compressor may pack the same text differently."""
    if name.endswith(".zst"):
        return zstd.decompress(data)
    return zlib.decompressobj(wbits=31).decompress(data) if name.endswith(".gz") else data


def test_committed_samples_equal_the_output_of_the_documented_command(tmp_path: Path) -> None:
    rates = FaultRates.parse("rich")
    generate(messages=300, layout="messages", seed=8, out=tmp_path, rates=rates)
    generate(
        messages=600, layout="export", seed=8, out=tmp_path, tenant="globex", rates=rates, files=4, compression="mixed"
    )
    committed, written = read_files(SAMPLES), read_files(tmp_path)
    del committed["README.md"]
    assert committed.keys() == written.keys()
    truncated = "globex/exports/messages/2025/08/12/part-00003.jsonl.gz"
    committed_part, written_part = (decompress(truncated, files.pop(truncated)) for files in (committed, written))
    assert committed_part.startswith(written_part) or written_part.startswith(committed_part)
    for name, data in committed.items():
        assert decompress(name, data) == decompress(name, written[name]), name

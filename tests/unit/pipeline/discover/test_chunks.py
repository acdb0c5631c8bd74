"""Chunks of a manifest: how objects are grouped, written and read."""

from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daily_batch.domain.run import SourceObject
from daily_batch.pipeline.discover.chunks import (
    chunk_path,
    cut_chunks,
    read_chunk,
    read_manifest,
    remove_chunks,
    write_chunk,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
counts = st.integers(min_value=0, max_value=2**63 - 1)
objects = st.lists(st.builds(SourceObject, texts, counts, texts, counts), max_size=40)
sizes = st.lists(st.integers(min_value=0, max_value=100), max_size=60)


def make_object(size: int) -> SourceObject:
    return SourceObject("k", size, "", 0)


@given(st.lists(objects, max_size=6), st.integers(1, 2**62), st.integers(1, 9))
def test_chunks_hold_every_object_once_and_in_order(
    batches: list[list[SourceObject]], chunk_bytes: int, chunk_objects: int
) -> None:
    chunks = list(cut_chunks(batches, chunk_bytes=chunk_bytes, chunk_objects=chunk_objects))
    assert [item for chunk in chunks for item in chunk] == [item for batch in batches for item in batch]


@given(sizes, st.integers(1, 150), st.integers(1, 9))
def test_no_chunk_of_several_objects_exceeds_its_limits(
    object_sizes: list[int], chunk_bytes: int, chunk_objects: int
) -> None:
    chunks = list(
        cut_chunks([[make_object(n) for n in object_sizes]], chunk_bytes=chunk_bytes, chunk_objects=chunk_objects)
    )
    for chunk in chunks:
        assert 1 <= len(chunk) <= chunk_objects
        assert len(chunk) == 1 or sum(item.size for item in chunk) <= chunk_bytes


@given(sizes, st.integers(1, 150), st.integers(1, 9))
def test_chunk_is_only_closed_when_the_next_object_does_not_fit(
    object_sizes: list[int], chunk_bytes: int, chunk_objects: int
) -> None:
    chunks = list(
        cut_chunks([[make_object(n) for n in object_sizes]], chunk_bytes=chunk_bytes, chunk_objects=chunk_objects)
    )
    for chunk, following in pairwise(chunks):
        assert len(chunk) == chunk_objects or sum(item.size for item in chunk) + following[0].size > chunk_bytes


def test_object_larger_than_a_chunk_gets_its_own_chunk() -> None:
    chunks = cut_chunks([[make_object(1), make_object(99), make_object(1)]], chunk_bytes=10, chunk_objects=10)
    assert [[item.size for item in chunk] for chunk in chunks] == [[1], [99], [1]]


@given(objects.filter(bool))
def test_written_chunk_is_read_back(tmp_path_factory: object, chunk: list[SourceObject]) -> None:
    folder = tmp_path_factory.mktemp("chunks")  # type: ignore[attr-defined]
    assert list(read_manifest([write_chunk(folder, 7, chunk)])) == [(7, chunk)]


def test_chunk_is_readable_json(tmp_path: Path) -> None:
    path = write_chunk(tmp_path, 3, [SourceObject("acme/山", 12, '"e"', 1_755_000_000_000_001)])
    expected = r'{"chunk":3,"objects":[["acme/山",12,"\"e\"",1755000000000001]]}'
    assert path.read_text(encoding="utf-8") == expected


@pytest.mark.parametrize(
    "content",
    [b"", b'{"chunk":1,"objects":[["a",1,"e",1]', b'{"chunk":1}', b'{"chunk":1,"objects":[["a","1","e",1]]}'],
    ids=["empty", "cut", "without objects", "a size in quotes"],
)
def test_damaged_chunk_is_refused(content: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        read_chunk(content)


def test_file_names_sort_by_number_and_are_not_hidden_from_spark(tmp_path: Path) -> None:
    names = [chunk_path(tmp_path, number).name for number in (0, 9, 10, 12_345_678)]
    assert names == sorted(names)
    assert all(name[0] not in "_." for name in names)


def test_removing_chunks_leaves_other_files(tmp_path: Path) -> None:
    write_chunk(tmp_path, 0, [make_object(1)])
    (tmp_path / "other.json").touch()
    remove_chunks(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["other.json"]

"""The fingerprint identifies a set of objects, in any order."""

import random

from hypothesis import given
from hypothesis import strategies as st

from daily_batch.domain.run import SourceObject
from daily_batch.pipeline.discover.manifest import add_objects, fingerprint

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
distinct = st.lists(
    st.builds(SourceObject, names, st.integers(0, 2**40), names.map(lambda text: text.replace("\0", "")), st.just(0)),
    max_size=20,
    unique_by=lambda item: item.key,
)


def fingerprint_of(objects: list[SourceObject]) -> str:
    return fingerprint(add_objects(0, objects), len(objects))


@given(distinct, st.randoms(use_true_random=False), st.integers(0, 20))
def test_order_and_batches_do_not_matter(objects: list[SourceObject], chance: random.Random, cut: int) -> None:
    shuffled = objects[:]
    chance.shuffle(shuffled)
    total = add_objects(add_objects(0, shuffled[:cut]), shuffled[cut:])
    assert fingerprint(total, len(shuffled)) == fingerprint_of(objects)


@given(distinct, distinct)
def test_different_sets_differ(left: list[SourceObject], right: list[SourceObject]) -> None:
    assert (fingerprint_of(left) == fingerprint_of(right)) == (set(left) == set(right))


def test_each_of_key_size_and_etag_counts_and_the_time_does_not() -> None:
    item = SourceObject("acme/a", 12, '"e"', 5)
    changed = [item._replace(key="acme/b"), item._replace(size=13), item._replace(etag='"f"')]
    assert len({fingerprint_of([other]) for other in [item, *changed]}) == 4
    assert fingerprint_of([item]) == fingerprint_of([item._replace(modified_us=6)])


def test_fields_do_not_run_into_each_other() -> None:
    variants = [("23", 1, ""), ("3", 12, ""), ("", 1, "23"), ("3", 1, "2")]
    assert len({fingerprint_of([SourceObject(key, size, etag, 0)]) for key, size, etag in variants}) == 4


def test_fingerprints_are_hexadecimal_and_stable_between_releases() -> None:
    assert fingerprint_of([]) == "16514d47b0f9a8dcbd2ad8983d91e81b9117e857e747f3ab06a4d8220f05f5b6"
    assert (
        fingerprint_of([SourceObject("acme/a", 12, '"e"', 5), SourceObject("acme/b", 0, "", 6)])
        == "30939c0c4edec57f2cd42a8b286213759a07b8dc3662cb1d8141ff073bfa4616"
    )

"""Unknown fields are counted exactly, whatever the split, and their number is bounded."""

import json
from collections import Counter
from collections.abc import Sequence

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daily_batch.pipeline.transform.outcomes import Counts, add_counts
from daily_batch.pipeline.transform.unknown_fields import MAX_CANDIDATES, MAX_NAMES, count_fields, most_frequent

Extras = Sequence[str | None]
NAMES = st.sampled_from(["client", "a", "_", "A1", "x" * 64, "x" * 65, "1a", "", "a b", "é", "名前", "a\n", "a\0", '"'])
ROWS = st.lists(st.none() | st.sets(NAMES, min_size=1).map(lambda names: json.dumps(dict.fromkeys(names))))


def count_part(extras: Extras) -> Counts:
    """Return the counts of rows, as of one bucket."""
    with duckdb.connect() as connection:
        connection.execute("CREATE TEMP TABLE kept_rows (extras VARCHAR)")
        connection.execute("INSERT INTO kept_rows SELECT unnest(?::VARCHAR[])", [list(extras)])
        records, others = count_fields(connection)
    return Counts.from_dict(
        json.loads(json.dumps(Counts(unknown_fields=records, other_unknown_fields=others).to_dict()))
    )


def count_split(extras: Extras, parts: int) -> tuple[dict[str, int], int]:
    """Return what a receipt says of rows that are split into parts."""
    total = add_counts(count_part(extras[number::parts]) for number in range(parts))
    shown, others = most_frequent(total.unknown_fields)
    return shown, others + total.other_unknown_fields


@settings(max_examples=25, deadline=None)
@given(ROWS, st.integers(1, 4))
def test_only_plain_names_are_counted_by_themselves(rows: list[str | None], parts: int) -> None:
    sent = Counter(name for row in rows if row for name in json.loads(row))
    plain = {name: sent[name] for name in ("client", "a", "_", "A1", "x" * 64) if name in sent}
    assert count_split(rows, parts) == (plain, sent.total() - sum(plain.values()))


def test_most_frequent_names_are_shown_and_ties_are_in_alphabetical_order() -> None:
    rows = [json.dumps({f"f{number:02d}": 1, "often": 1}) for number in range(60)]
    shown, others = count_split(rows, 3)
    assert list(shown) == ["often", *(f"f{number:02d}" for number in range(MAX_NAMES - 1))]
    assert (shown["often"], others) == (60, 11)


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_keys_that_are_data_hide_no_short_name_and_take_bounded_memory(parts: int) -> None:
    rows = [json.dumps({f"id_{number * 7919:08d}": 1, "client": 1}) for number in range(3 * MAX_CANDIDATES)]
    rows += [json.dumps({f"id_{0:08d}": 1})] * 5
    counts = [count_part(rows[number::parts]) for number in range(parts)]
    total = add_counts(counts)
    assert all(len(each.unknown_fields) <= MAX_CANDIDATES for each in (*counts, total))
    assert sum(total.unknown_fields.values()) + total.other_unknown_fields == 2 * 3 * MAX_CANDIDATES + 5
    shown, _ = count_split(rows, parts)
    assert (shown["client"], shown["id_00000000"]) == (3 * MAX_CANDIDATES, 6)
    assert count_split(rows, parts) == count_split(rows, 1)

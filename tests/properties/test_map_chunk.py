"""Invariants of the map for any input: every error is handled, no record is lost, and both paths give the same rows."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daily_batch.domain.run import SourceObject
from daily_batch.pipeline.transform import fast_parser
from daily_batch.pipeline.transform.outcomes import Counts
from daily_batch.pipeline.transform.write import published_columns
from tests.support.adversarial_day import message, packed
from tests.support.adversarial_json import records
from tests.support.mapped_objects import SPEC, Memory, Rows, map_objects, run_map

NOTHING_VERIFIED = f"SELECT * REPLACE (false AS verified) FROM ({fast_parser.QUERY})"
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def assert_sums_hold(rows: Rows, rejects: Rows, counts: Counts) -> None:
    assert counts.seen == len(rows) + counts.rejected + counts.other_day + counts.empty
    assert len(rejects) == counts.rejected + counts.objects_unreadable
    assert sum(counts.rejects.values()) == counts.rejected


@settings(PATIENT, max_examples=60)
@given(st.lists(records(), min_size=1, max_size=40))
def test_fast_path_never_differs_from_the_strict_path(texts: list[str]) -> None:
    body = {"acme/a": "\n".join(texts).encode("utf-8", "surrogatepass")}
    fast = map_objects(body)
    with patch.object(fast_parser, "QUERY", NOTHING_VERIFIED):
        strict = map_objects(body)
    assert fast == strict
    assert_sums_hold(*fast)


@settings(PATIENT, max_examples=40)
@given(
    st.one_of(st.binary(max_size=400), st.lists(records(), max_size=6).map(lambda t: "\n".join(t).encode())), st.data()
)
def test_any_bytes_are_accounted_for(body: bytes, data: st.DataObject) -> None:
    if data.draw(st.booleans()) and body:
        at = data.draw(st.integers(0, len(body) - 1))
        body = body[:at] + data.draw(st.binary(max_size=3)) + body[at + 1 :]
    if data.draw(st.booleans()):
        body = packed(body)[: data.draw(st.sampled_from([-1, None]))]
    key = "acme/chat/u1/r1/messages/2025/08/12/01-02-03Z-m1.json"
    for layout in ("export", "messages"):
        rows, rejects, counts = map_objects({key: body}, replace(SPEC, layout=layout))
        assert counts.objects_read + counts.objects_unreadable == 1
        assert_sums_hold(rows, rejects, counts)


FIELD = st.one_of(st.none(), st.text(max_size=30))
BIGINT = st.integers(0, 2**63 - 1)
MESSAGES = st.builds(
    message,
    message_id=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=40),
    content=st.text(max_size=200),
    role=st.sampled_from(["user", "assistant", "system"]),
    attachments=st.lists(
        st.fixed_dictionaries({"type": FIELD, "url": FIELD, "thumbnail": FIELD, "name": FIELD, "size": BIGINT}),
        max_size=3,
    ),
    agent_info=st.fixed_dictionaries({"mode": FIELD, "tokens_used": BIGINT}),
    unlisted=st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=20)),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
        max_leaves=5,
    ),
)


@settings(PATIENT, max_examples=60)
@given(MESSAGES, st.booleans())
def test_any_message_round_trips_exactly(sent: dict[str, Any], pretty: bool) -> None:
    body = json.dumps(sent, ensure_ascii=not pretty, indent=2 if pretty else None).encode()
    with tempfile.TemporaryDirectory() as scratch:
        listed = [SourceObject("acme/a", len(body), "t", 0)]
        result = run_map(listed, Memory({"acme/a": body}), SPEC, Path(scratch))
        ((_, path),) = result.spilled
        read = duckdb.sql(f"SELECT {published_columns(SPEC)} FROM read_parquet('{path}')")
        (row,) = [dict(zip(read.columns, values, strict=True)) for values in read.fetchall()]
    for name in ("message_id", "user_id", "room_id", "role", "content", "attachments"):
        assert row[name] == sent[name], name
    assert row["message_length"] == len(sent["content"])
    assert (row["agent_mode"], row["tokens_used"]) == (sent["agent_info"]["mode"], sent["agent_info"]["tokens_used"])
    assert json.loads(row["extras"]) == {"unlisted": sent["unlisted"]}
    assert row["flags"] == (["empty_content"] if not sent["content"] else [])

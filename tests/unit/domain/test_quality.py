"""Quality rules: parsing and layering, evaluation of a day, and a run with failed rules."""

import json
import os
import textwrap
from collections import Counter
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daily_batch.domain.codes import Flag
from daily_batch.domain.quality import describe_warnings, evaluate, raise_for_failures, warnings
from daily_batch.domain.quality_rules import OF_FLAGS, RULES, Rule
from daily_batch.errors import TerminalError, UsageError
from daily_batch.ledger.transitions import acquire, complete
from daily_batch.orchestration.day_status import describe
from daily_batch.pipeline.quality_measures import measure_counts
from daily_batch.pipeline.transform.outcomes import Counts
from daily_batch.settings import Settings, load_settings
from tests.support.day_runs import DAY, NOW, SAMPLES, published_state, run_local
from tests.support.ledger_doubles import BEGIN, LEASE
from tests.support.spark_session import ROOT

PARTS = st.integers(0, 10**9)


def load(quality: object = None, **environ: str) -> Settings:
    return load_settings(flags={"quality": quality}, environ=environ)


# Configuration


@pytest.mark.parametrize(
    ("quality", "message"),
    [
        ({"max_reject": 0.1}, "'max_reject' is not a rule"),
        ({"max_rejected": float("nan")}, "max_rejected: the limit must be a ratio"),
        ({"max_rejected": float("inf")}, "max_rejected: the limit must be a ratio"),
        ({"max_rejected": -0.1}, "max_rejected: the limit must be a ratio"),
        ({"max_null_content": 1.01}, "max_null_content: the limit must be a ratio"),
        ({"max_null_content": True}, "max_null_content: "),
        ({"max_null_content": "0.1"}, "max_null_content: "),
        ({"max_null_content": None}, "max_null_content: "),
        ({"max_null_content": {}}, "max_null_content: "),
        ({"max_null_content": {"limit": 0.1, "severity": "loud"}}, "max_null_content: "),
        ({"max_null_content": {"limit": 0.1, "sevrity": "fail"}}, "max_null_content: "),
        ({"max_null_content": {"limit": 0.1, "minutes": 5}}, "this rule does not accept minutes"),
        ({"min_messages": -1}, "min_messages: the limit must be a whole number"),
        ({"min_messages": 1.5}, "min_messages: the limit must be a whole number"),
        ({"max_messages": float("nan")}, "max_messages: the limit must be a whole number"),
        ({"max_unknown_fields": 0.5}, "max_unknown_fields: the limit must be a whole number of fields"),
        ({"max_late": 0.1}, "max_late: minutes must be given"),
        ({"max_late": {"limit": 0.1, "minutes": -5}}, "max_late: minutes must be 1 or more"),
        ({"max_other_roles": {"limit": 0, "allowed": []}}, "max_other_roles: allowed must be given"),
        ({"tenants": {"../acme": {}}}, "'../acme' is not a tenant id"),
        ({"tenants": {"acme\n": {}}}, "is not a tenant id"),
        ({"tenants": {"acme": 0.1}}, "tenants: "),
        ({"tenants": {"acme": {"max_nul_content": 0.1}}}, "tenants.acme.'max_nul_content' is not a rule"),
        ({"tenants": {"acme": {"tenants": {}}}}, "tenants.acme.'tenants' is not a rule"),
        ("[]", "quality from flag"),
    ],
)
def test_invalid_rule_is_a_usage_error_that_names_it(quality: object, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(quality)
    assert message in str(caught.value)
    assert "flag --quality" in str(caught.value)


def test_every_flag_of_the_contract_has_a_rule() -> None:
    assert {f"max_{flag}" for flag in Flag} == set(OF_FLAGS) < set(RULES)


def test_layers_and_tenants_override_rule_by_rule(tmp_path: Path) -> None:
    (tmp_path / "defaults.toml").write_text(
        "[quality]\nmax_null_content = 0.2\nmax_empty_content = 0.2\n[quality.tenants.acme]\nmax_null_content = 0.3\n"
    )
    (tmp_path / "prod.toml").write_text(
        '[quality]\nmax_empty_content = {limit = 0.1, severity = "fail"}\n'
        "[quality.tenants.acme]\nmax_rejected = false\n[quality.tenants.globex]\nmin_messages = 5\n"
    )
    overrides = json.dumps({"max_null_content": 0.4, "tenants": {"globex": {"max_unreadable": 0.5}}})
    loaded = load_settings(flags={}, environ={"MAKOTO_QUALITY": overrides}, conf_dir=tmp_path, env="prod")
    empty = Rule(limit=0.1, severity="fail")
    assert loaded.quality.rules_for("acme") == {
        "max_unreadable": Rule(limit=0.01),
        "max_null_content": Rule(limit=0.3),
        "max_empty_content": empty,
    }
    assert loaded.quality.rules_for("globex") == {
        "max_unreadable": Rule(limit=0.5),
        "max_rejected": Rule(limit=0.1),
        "max_null_content": Rule(limit=0.4),
        "max_empty_content": empty,
        "min_messages": Rule(limit=5),
    }
    explained = {name: (value, origin) for name, value, origin in loaded.explain()}
    folder = tmp_path.name
    assert explained["quality.max_null_content"] == ("0.4 warn", "MAKOTO_QUALITY")
    assert explained["quality.max_unreadable"] == ("0.01 warn", "default")
    assert explained["quality.tenants.acme.max_null_content"] == ("0.3 warn", f"{folder}/defaults.toml")
    assert explained["quality.tenants.acme.max_rejected"] == ("off", f"{folder}/prod.toml")


def test_job_receives_only_its_tenants_rules() -> None:
    late, roles = {"limit": 0.1, "minutes": 5}, {"limit": 0, "severity": "fail", "allowed": ["user"]}
    acme = {"max_late": late, "max_other_roles": roles, "max_rejected": False}
    loaded = load({"max_null_content": 0.2, "tenants": {"acme": acme, "globex": {"min_messages": 1}}})
    text = json.dumps(loaded.for_job(tenant="acme"))
    assert "globex" not in text
    other_environ = {"MAKOTO_QUALITY": json.dumps({"tenants": {"acme": {"max_null_content": 0.9}}})}
    job_settings = load_settings(flags=json.loads(text), environ=other_environ)
    assert job_settings.quality.rules_for("acme") == loaded.quality.rules_for("acme")
    assert loaded.quality.rules_for("acme").keys() == {
        *("max_late", "max_other_roles", "max_null_content", "max_unreadable")
    }
    assert load().for_job(tenant="acme") == {}


def test_default_rules_only_warn() -> None:
    assert {rule.severity for rule in load().quality.rules_for("acme").values()} == {"warn"}


# Evaluation


@settings(max_examples=60)
@given(part=PARTS, more=st.integers(1, 10**9))
def test_ratio_passes_up_to_its_limit(part: int, more: int) -> None:
    total = part + more
    rules = {"max_null_content": Rule(limit=part / total)}

    def passes(found: int) -> bool:
        counts = Counts(written=total, flags=Counter(null_content=found))
        return evaluate(rules, measure_counts(counts))[0].passed

    assert (passes(part), passes(part + 1)) == (True, False)


@pytest.mark.parametrize("percent", range(101))
def test_decimal_limits_are_exact(percent: int) -> None:
    counts = Counts(seen=300, rejected=3 * percent)
    (check,) = evaluate(
        {"max_rejected": Rule(limit=float(f"0.{percent:02}") if percent < 100 else 1)}, measure_counts(counts)
    )
    assert check.passed


@settings(max_examples=30)
@given(messages=PARTS)
def test_volume_passes_up_to_its_limit(messages: int) -> None:
    rules = {"min_messages": Rule(limit=messages), "max_messages": Rule(limit=messages)}

    def passed(written: int) -> list[bool]:
        return [check.passed for check in evaluate(rules, measure_counts(Counts(written=written)))]

    assert (passed(messages), passed(messages + 1), passed(messages - 1)) == (
        [True, True],
        [False, True],
        [True, False],
    )


@pytest.mark.parametrize(("names", "others", "measured"), [(0, 0, 0), (3, 0, 3), (0, 9, 1), (60, 0, 60), (60, 5, 61)])
def test_unknown_fields_without_a_count_of_their_own_are_one(names: int, others: int, measured: int) -> None:
    found = Counter({f"field_{number}": 7 for number in range(names)})
    counts = Counts(written=100, unknown_fields=found, other_unknown_fields=others)
    (check,) = evaluate({"max_unknown_fields": Rule(limit=60)}, measure_counts(counts))
    assert (check.measured, check.passed) == (measured, measured <= 60)


def test_day_without_messages_is_evaluated_by_volume_only() -> None:
    rules = {name: Rule(limit=0) for name in RULES} | {"min_messages": Rule(limit=1)}
    measured = {"max_late": None, "max_other_roles": None, **measure_counts(Counts())}
    checks = evaluate(rules, measured)
    assert [check.rule for check in warnings(checks)] == ["min_messages"]
    assert {check.measured for check in checks} == {0, None}
    assert describe_warnings(checks) == "min_messages 0, at least 1"


def test_day_without_a_readable_object_counts_as_rejected() -> None:
    assert measure_counts(Counts(objects_unreadable=2))["max_rejected"] == 1
    some = measure_counts(Counts(objects_unreadable=2, objects_read=2, seen=4, rejected=1))
    assert (some["max_rejected"], some["max_unreadable"]) == (0.25, 0.5)


def test_only_a_rule_of_severity_fail_raises_an_error() -> None:
    measured = measure_counts(Counts(written=1200, flags=Counter(null_content=30)))
    fail = evaluate({"max_null_content": Rule(limit=0.02, severity="fail"), "max_messages": Rule(limit=5)}, measured)
    assert [check.rule for check in warnings(fail)] == ["max_messages"]
    with pytest.raises(TerminalError) as caught:
        raise_for_failures(fail, tenant="acme", day="2025-08-12")
    text = str(caught.value)
    assert "tenant=acme day=2025-08-12" in text
    assert "max_null_content 0.025, at most 0.02" in text
    assert "max_messages" not in text
    assert "[quality]" in text
    raise_for_failures(warnings(fail), tenant="acme", day="2025-08-12")


# In a run


def test_failed_rule_publishes_nothing_and_a_warning_is_reported(tmp_path: Path) -> None:
    first = run_local(input=SAMPLES, output=tmp_path)
    before = published_state(tmp_path)
    rule = {"limit": first.records.written - 1, "severity": "fail"}
    with pytest.raises(TerminalError, match="max_messages") as caught:
        run_local(input=SAMPLES, output=tmp_path, quality={"max_messages": rule})
    assert caught.value.exit_code == 3
    assert published_state(tmp_path) == before
    receipt = run_local(
        input=SAMPLES, output=tmp_path, quality={"max_messages": rule, "tenants": {"acme": {"max_messages": 5}}}
    )
    assert receipt.records == first.records
    (warning,) = warnings(receipt.quality)
    assert (warning.rule, warning.limit, warning.measured) == ("max_messages", 5, first.records.written)
    running = acquire(None, tenant="acme", day=DAY, owner="o", run_id=receipt.run_id, now=BEGIN, lease=LEASE)
    entry = complete(running, receipt=receipt, receipt_key="k", output_path="o", now=BEGIN)
    assert (
        describe(entry, "COMPLETED_WITH_REJECTS", now=NOW)
        == entry.quality
        == f"max_messages {warning.measured}, at most 5"
    )


@pytest.mark.parametrize("table_format", ["delta", "parquet"])
def test_late_messages_and_roles_are_measured_if_the_layout_allows(tmp_path: Path, table_format: str) -> None:
    folder = tmp_path / "in/acme/chat/u/r/messages/2025/08/12"
    folder.mkdir(parents=True)
    for minute, (role, after) in enumerate([("user", 0), ("tool", 60), ("user", 60.5), (None, -90)]):
        body = {"message_id": f"m{minute}", "role": role, "content": "a", "timestamp": f"2025-08-12T01:{minute:02}:00Z"}
        (folder / f"01-{minute:02}-00Z-m{minute}.json").write_text(json.dumps(body))
        arrived = NOW.replace(hour=1, minute=minute).timestamp() + 60 * after
        os.utime(folder / f"01-{minute:02}-00Z-m{minute}.json", (arrived, arrived))
    (folder / "unnamed.json").write_text(json.dumps({**body, "message_id": "m9", "role": "user"}))
    rules: dict[str, Any] = {
        "max_late": {"limit": 0.25, "minutes": 60},
        "max_other_roles": {"limit": 0.3, "allowed": ["user"]},
    }
    arguments = {"output": tmp_path / "out", "table_format": table_format, "quality": rules}
    found = {each.rule: each for each in run_local(input=tmp_path / "in", **arguments).quality}
    assert (found["max_late"].measured, found["max_late"].passed) == (0.25, True)
    assert (found["max_other_roles"].measured, found["max_other_roles"].passed) == (0.4, False)
    export = {each.rule: each for each in run_local(input=SAMPLES, tenant="globex", **arguments).quality}
    assert (export["max_late"].measured, export["max_late"].passed) == (None, True)


def test_day_without_readable_objects_fails_at_the_unreadable_limit(tmp_path: Path) -> None:
    folder = tmp_path / f"in/acme/exports/messages/{DAY:%Y/%m/%d}"
    folder.mkdir(parents=True)
    (folder / "a.jsonl.gz").write_bytes(b"no gzip")
    receipt = run_local(input=tmp_path / "in", output=tmp_path / "out")
    assert (receipt.status, receipt.objects.unreadable) == ("COMPLETED_WITH_REJECTS", 1)
    assert [each.rule for each in warnings(receipt.quality)] == ["max_rejected", "max_unreadable"]
    with pytest.raises(TerminalError, match=r"1 of 1 objects cannot be read .100.0%., and max_unreadable_ratio is 0.5"):
        run_local(input=tmp_path / "in", output=tmp_path / "out", max_unreadable_ratio=0.5)


# Documentation


def test_page_names_every_rule_and_its_example_is_accepted(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "quality.md").read_text(encoding="utf-8")
    assert [rule for rule in set(RULES) - set(OF_FLAGS) if f"`{rule}`" not in page] == []
    block = takewhile(
        lambda line: not line or line.startswith("    "), page[page.index("    [quality]") :].splitlines()
    )
    (tmp_path / "prod.toml").write_text(textwrap.dedent("\n".join(block)), encoding="utf-8")
    rules = load_settings(flags={}, environ={}, conf_dir=tmp_path, env="prod").quality
    assert rules.rules_for("acme").keys() > {"max_late", "max_other_roles", "min_messages", "max_naive_timestamp"}
    assert rules.rules_for("globex").keys() == {"max_unreadable", "max_rejected", "max_null_content"}

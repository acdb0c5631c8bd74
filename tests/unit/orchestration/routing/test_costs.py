"""Predicted costs of a day: each host's formula computed by hand, monotonicity and obstacles."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.costs import BEGIN as MARK
from bench.costs import END, PAGE, render_tables, volume_of
from daily_batch.orchestration.routing import Predictions, Prices, Volume
from daily_batch.orchestration.routing.costs import FLEX, LAMBDA, HostCost, predict_costs
from daily_batch.orchestration.routing.prices import load_prices, parse_constants
from daily_batch.orchestration.worker import RESERVE_SECONDS
from tests.support.day_runs import ROOT
from tests.support.routing_constants import AZURE_PRICES, CONSTANTS, PRICES, make_prices

# Round constants for Azure, beside those of routing_constants.
CLUSTER = """
[blob]
gets_per_second = 20_000
puts_per_second = 20_000
partitions = 1
[databricks]
start_seconds = 300
node_vcpu = 4
node_gb = 32
worker_seconds = 300
max_workers = 8
"""
PREDICTIONS = parse_constants(CONSTANTS + CLUSTER, Predictions, origin="predictions.toml")
OBJECTS = Volume(layout="messages", objects=50_000, bytes=50_000 * 800)


def predict(volume: Volume, with_prices: Prices | None = None) -> dict[str, HostCost]:
    hosts = predict_costs(volume, predictions=PREDICTIONS, prices=with_prices or make_prices())
    return {cost.host: cost for cost in hosts}


def test_lambda_cost_is_memory_time_plus_s3_requests() -> None:
    cost = predict(OBJECTS)["Lambda"]
    seconds = 6 + 50_000 * (0.0005 + 0.0001) / (3008 / 1769)
    requests = 50_000 * 0.00000037 + 2_501 * 0.0000047 + 12 * 0.0000047
    assert cost.seconds == pytest.approx(seconds)
    assert cost.usd_day == pytest.approx(2.9375 * seconds * 0.0000166667 + 0.0000002 + requests)
    assert cost.usd_month == pytest.approx(30 * cost.usd_day)


def test_azure_functions_cost_is_instance_time_plus_blob_requests() -> None:
    cost = predict(OBJECTS)["Azure Functions"]
    seconds = 6 + 50_000 * (0.0005 + 0.0001) / 2  # 21 s of 4 GB, 2,520 GB-seconds a month
    requests = 50_000 * 0.0000004 + 2_513 * 0.000005
    assert cost.usd_day == pytest.approx(4 * seconds * 0.00004 + 0.0000004 + requests)
    # Of thirty calls ten are free.
    assert cost.usd_month_after_free == pytest.approx(30 * requests + 20 * 0.0000004)


def test_free_tier_reduces_cost_by_at_most_its_allowance() -> None:
    cost = predict(Volume(layout="export", objects=10, bytes=750_000 * 200))["Azure Functions"]
    assert cost.usd_month is not None and cost.usd_month_after_free is not None
    # A month takes 5,220 GB-seconds of 10,000 that are free, and 30 calls, of which ten are.
    gb_seconds = 30 * 4 * (6 + (10 * 0.0005 + 750_000 * 0.0001) / 2)
    assert cost.usd_month - cost.usd_month_after_free == pytest.approx(gb_seconds * 0.00004 + 10 * 0.0000004)
    smaller_tier = make_prices((PRICES + AZURE_PRICES).replace("free_gb_seconds = 10_000", "free_gb_seconds = 100"))
    reduced = predict(Volume(layout="export", objects=10, bytes=750_000 * 200), smaller_tier)["Azure Functions"]
    assert reduced.usd_month_after_free == pytest.approx(cost.usd_month - 100 * 0.00004 - 10 * 0.0000004)


def test_emr_cost_is_worker_time_plus_s3_requests() -> None:
    cost = predict(Volume(layout="export", objects=300, bytes=30_000_000 * 200))["EMR Serverless"]
    seconds = 135 + (30_000_000 * 0.0001 + 300 * 0.0005) / 12
    compute = seconds / 3600 * (14 * 0.052585 + 56 * 0.005746)
    assert cost.usd_day == pytest.approx(compute + 600 * 0.00000037 + (2 + 1_456) * 0.0000047)
    assert any("20 GB" in note for note in cost.notes)  # 92 GB of shuffle for three executors


def test_databricks_cost_is_node_time_if_node_prices_are_known() -> None:
    volume = Volume(layout="export", objects=300, bytes=30_000_000 * 200)
    seconds = 315 + (30_000_000 * 0.0001 + 300 * 0.0005) / 12  # 3,000 core seconds keep three workers of 4 cores busy
    requests = 600 * 0.0000004 + (2 + 1_456) * 0.000005
    cost = predict(volume)["Databricks"]
    assert cost.usd_day == pytest.approx(4 * seconds / 3600 * (1.5 * 0.30 + 0.25) + requests)
    unknown = predict(volume, make_prices(PRICES + AZURE_PRICES))["Databricks"]
    assert (unknown.usd_day, unknown.usd_month) == (None, None)
    assert unknown.notes[0] == f"{4 * seconds / 3600:.2f} node-hours"
    assert "not predicted" in unknown.notes[1]


def test_azure_costs_need_azure_prices() -> None:
    predicted = predict(OBJECTS, make_prices(PRICES))
    assert predicted["Lambda"] == predict(OBJECTS)["Lambda"]
    assert (predicted["Azure Functions"].usd_day, predicted["Databricks"].usd_day) == (None, None)
    assert "no price of Azure" in predicted["Azure Functions"].notes[0]


def test_host_that_cannot_run_a_day_has_obstacles_and_no_price() -> None:
    cost = predict(Volume(layout="messages", objects=10**7, bytes=10**7 * 800))["Lambda"]
    assert [why.split()[0] for why in cost.obstacles] == ["takes", "needs"]
    assert (cost.usd_day, cost.usd_month_after_free) == (None, None)


@settings(max_examples=25)
@given(
    layout=st.sampled_from(["messages", "export"]),
    day=st.tuples(st.integers(0, 10**6), st.integers(0, 10**9)),
    more=st.tuples(st.integers(0, 10**6), st.integers(0, 10**9)),
)
def test_larger_day_costs_more_and_has_at_least_the_same_obstacles(
    layout: Any, day: tuple[int, int], more: tuple[int, int]
) -> None:
    small = predict(Volume(layout=layout, objects=day[0], bytes=day[1]))
    large = predict(Volume(layout=layout, objects=day[0] + more[0] + 1, bytes=day[1] + more[1]))
    for host in ("Lambda", "Azure Functions"):
        obstacles = [{why.split()[0] for why in cost[host].obstacles} for cost in (small, large)]
        assert obstacles[0] <= obstacles[1]
        if not large[host].obstacles:
            assert large[host].usd_day > small[host].usd_day  # type: ignore[operator]
            assert large[host].usd_month_after_free >= small[host].usd_month_after_free  # type: ignore[operator]


def test_hosts_have_the_sizes_that_are_deployed() -> None:
    template = (ROOT / "template.yaml").read_text(encoding="utf-8")
    assert f"  WorkerMemory:\n    Type: Number\n    Default: {LAMBDA.memory_bytes // 2**20}\n" in template
    worker = "MemorySize: !Ref WorkerMemory\n      Timeout: 900\n      EphemeralStorage: {Size: 4096}\n"
    assert worker in template
    assert (LAMBDA.seconds, LAMBDA.temp_bytes) == (900 - RESERVE_SECONDS, 4096 * 2**20)
    bicep = (ROOT / "infra" / "azure" / "main.bicep").read_text(encoding="utf-8")
    assert f"param instanceMemoryMB int = {FLEX.memory_bytes // 2**20}\n" in bicep
    host = json.loads((ROOT / "azure_trigger" / "host.json").read_text(encoding="utf-8"))
    assert host["functionTimeout"] == "00:30:00"
    assert FLEX.seconds == 30 * 60 - RESERVE_SECONDS
    variables = yaml.safe_load((ROOT / "databricks.yml").read_text(encoding="utf-8"))["variables"]
    assert (variables["node_type"]["default"], variables["max_workers"]["default"]) == ("Standard_E4ds_v5", 8)


def test_cost_page_tables_are_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    tables = page[page.index(MARK) + len(MARK) : page.index(END)]
    assert tables == render_tables()


def test_cost_page_example_of_the_guide_is_correct() -> None:
    computed = 3 * 900 * 30 * load_prices().function.gb_second + 30 * load_prices().function.request
    assert f"{computed:.2f} USD" == "1.35 USD"
    assert "約$10/月 | not so | 1.35 USD" in (ROOT / "docs/project/guide-map.md").read_text(encoding="utf-8")
    assert load_prices().function.free_gb_seconds > 3 * 900 * 30
    assert volume_of("export", 250_000).objects == 3

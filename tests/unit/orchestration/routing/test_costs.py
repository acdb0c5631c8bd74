"""Test what a day costs: each host's formula computed by hand, monotonicity, obstacles, and bills of runs."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore as ObjectStore

from bench.costs import BEGIN as MARK
from bench.costs import END, PAGE, volume_of, write_tables
from daily_batch.domain.bill import Bill
from daily_batch.domain.receipt import receipt_key, to_json
from daily_batch.domain.request import Request
from daily_batch.domain.url import parse_url
from daily_batch.errors import TerminalError
from daily_batch.ledger import Entry, Ledger
from daily_batch.ledger.item_codec import from_item, to_item
from daily_batch.ledger.transitions import complete, fail
from daily_batch.orchestration.dispatch import Dispatch
from daily_batch.orchestration.routing import Predictions, Prices, Volume
from daily_batch.orchestration.routing.billing import find_meter, price_function, price_job
from daily_batch.orchestration.routing.costs import FLEX, LAMBDA, HostCost, predict_costs, sum_by_month
from daily_batch.orchestration.routing.prices import FunctionPrices, load_prices, parse_constants
from daily_batch.orchestration.spark_jobs.reconcile import reconcile
from daily_batch.orchestration.worker import RESERVE_SECONDS
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.settings import load_settings
from daily_batch.synthetic import generate
from tests.support.day_runs import DAY, ROOT, silent
from tests.support.job_service import Service
from tests.support.ledger_doubles import BEGIN, LEASE, Clock, MemoryStore, make_receipt
from tests.support.routing_constants import CONSTANTS, PRICES

# Round constants for Azure, beside those of routing_constants.
CLUSTER = """
[databricks]
start_seconds = 300
node_vcpu = 4
node_gb = 32
worker_seconds = 300
max_workers = 8
"""
PREDICTIONS = parse_constants(CONSTANTS + CLUSTER, Predictions, origin="predictions.toml")
AZURE = """
[flex]
gb_second = 0.00004
request = 0.0000004
minimum_seconds = 1
step_seconds = 0.1
free_gb_seconds = 10_000
free_requests = 10
[blob]
get = 0.0000004
put = 0.000005
list = 0.000005
[databricks]
dbu = 0.30
"""
NODES = "node_dbus = 1.5\nnode_hour = 0.25\n"
OBJECTS = Volume(layout="messages", objects=50_000, bytes=50_000 * 800)


def prices(text: str = PRICES + AZURE + NODES) -> Prices:
    return parse_constants(text, Prices, origin="prices.toml")


def costs(volume: Volume, with_prices: Prices | None = None) -> dict[str, HostCost]:
    hosts = predict_costs(volume, predictions=PREDICTIONS, prices=with_prices or prices())
    return {cost.host: cost for cost in hosts}


def test_lambda_costs_its_memory_for_its_time_and_the_requests_to_s3() -> None:
    cost = costs(OBJECTS)["Lambda"]
    seconds = 6 + 50_000 * (0.0005 + 0.0001) / (3008 / 1769)
    requests = 50_000 * 0.00000037 + 2_501 * 0.0000047 + 12 * 0.0000047
    assert cost.seconds == pytest.approx(seconds)
    assert cost.usd_day == pytest.approx(2.9375 * seconds * 0.0000166667 + 0.0000002 + requests)
    assert cost.usd_month == pytest.approx(30 * cost.usd_day)


def test_functions_on_azure_cost_the_whole_instance_and_the_requests_to_blobs_beyond_the_free_tier() -> None:
    cost = costs(OBJECTS)["Azure Functions"]
    seconds = 6 + 50_000 * (0.0005 + 0.0001) / 2  # 21 s of 4 GB, 2,520 GB-seconds a month
    requests = 50_000 * 0.0000004 + 2_513 * 0.000005
    assert cost.usd_day == pytest.approx(4 * seconds * 0.00004 + 0.0000004 + requests)
    # Of thirty calls ten are free.
    assert cost.usd_month_after_free == pytest.approx(30 * requests + 20 * 0.0000004)


def test_a_free_tier_takes_off_no_more_than_it_has() -> None:
    cost = costs(Volume(layout="export", objects=10, bytes=750_000 * 200))["Azure Functions"]
    assert cost.usd_month is not None and cost.usd_month_after_free is not None
    # A month takes 5,220 GB-seconds of 10,000 that are free, and 30 calls, of which ten are.
    gb_seconds = 30 * 4 * (6 + (10 * 0.0005 + 750_000 * 0.0001) / 2)
    assert cost.usd_month - cost.usd_month_after_free == pytest.approx(gb_seconds * 0.00004 + 10 * 0.0000004)
    less = prices((PRICES + AZURE).replace("free_gb_seconds = 10_000", "free_gb_seconds = 100"))
    rest = costs(Volume(layout="export", objects=10, bytes=750_000 * 200), less)["Azure Functions"]
    assert rest.usd_month_after_free == pytest.approx(cost.usd_month - 100 * 0.00004 - 10 * 0.0000004)


def test_emr_costs_its_workers_for_the_whole_time() -> None:
    cost = costs(Volume(layout="export", objects=300, bytes=30_000_000 * 200))["EMR Serverless"]
    seconds = 135 + (30_000_000 * 0.0001 + 300 * 0.0005) / 12
    compute = seconds / 3600 * (14 * 0.052585 + 56 * 0.005746)
    assert cost.usd_day == pytest.approx(compute + 300 * 0.00000037 + 14 * 0.0000047)
    assert any("20 GB" in note for note in cost.notes)  # 92 GB of shuffle for three executors


def test_databricks_costs_its_nodes_from_the_request_on_where_their_price_is_known() -> None:
    volume = Volume(layout="export", objects=300, bytes=30_000_000 * 200)
    seconds = 315 + (30_000_000 * 0.0001 + 300 * 0.0005) / 12  # 3,000 core seconds keep three workers of 4 cores busy
    requests = 300 * 0.0000004 + 14 * 0.000005
    cost = costs(volume)["Databricks"]
    assert cost.usd_day == pytest.approx(4 * seconds / 3600 * (1.5 * 0.30 + 0.25) + requests)
    unknown = costs(volume, prices(PRICES + AZURE))["Databricks"]
    assert (unknown.usd_day, unknown.usd_month) == (None, None)
    assert unknown.notes[0] == f"{4 * seconds / 3600:.2f} node-hours"
    assert "not predicted" in unknown.notes[1]


def test_without_azure_s_prices_no_cost_is_predicted() -> None:
    alone = costs(OBJECTS, prices(PRICES))
    assert alone["Lambda"] == costs(OBJECTS)["Lambda"]
    assert (alone["Azure Functions"].usd_day, alone["Databricks"].usd_day) == (None, None)
    assert "no price of Azure" in alone["Azure Functions"].notes[0]


def test_a_day_that_cannot_run_there_says_why_and_has_no_price() -> None:
    cost = costs(Volume(layout="messages", objects=10**7, bytes=10**7 * 800))["Lambda"]
    assert [why.split()[0] for why in cost.obstacles] == ["takes", "needs"]
    assert (cost.usd_day, cost.usd_month_after_free) == (None, None)


@settings(max_examples=25)
@given(
    layout=st.sampled_from(["messages", "export"]),
    day=st.tuples(st.integers(0, 10**6), st.integers(0, 10**9)),
    more=st.tuples(st.integers(0, 10**6), st.integers(0, 10**9)),
)
def test_a_larger_day_costs_more_in_a_function_and_what_stops_a_day_stops_a_larger_one(
    layout: Any, day: tuple[int, int], more: tuple[int, int]
) -> None:
    small = costs(Volume(layout=layout, objects=day[0], bytes=day[1]))
    large = costs(Volume(layout=layout, objects=day[0] + more[0] + 1, bytes=day[1] + more[1]))
    for host in ("Lambda", "Azure Functions"):
        stopped = [{why.split()[0] for why in cost[host].obstacles} for cost in (small, large)]
        assert stopped[0] <= stopped[1]
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


def test_the_page_s_tables_are_what_the_code_computes_now() -> None:
    page = PAGE.read_text(encoding="utf-8")
    tables = page[page.index(MARK) + len(MARK) : page.index(END)]
    assert tables == write_tables()


def test_the_page_s_figures_of_the_guide_s_example_are_arithmetic() -> None:
    usd = 3 * 900 * 30 * load_prices().function.gb_second + 30 * load_prices().function.request
    assert f"{usd:.2f} USD" == "1.35 USD"
    assert "約$10/月 | not so | 1.35 USD" in (ROOT / "docs/project/guide-map.md").read_text(encoding="utf-8")
    assert load_prices().function.free_gb_seconds > 3 * 900 * 30
    assert volume_of("export", 250_000).objects == 3


# What was billed


@pytest.mark.parametrize(
    ("seconds", "billed"), [(0.0, 1.0), (0.4, 1.0), (1.0, 1.0), (1.01, 1.1), (1.1, 1.1), (2.3, 2.3), (12.3456, 12.4)]
)
def test_flex_is_billed_a_second_at_least_and_then_in_tenths(seconds: float, billed: float) -> None:
    flex = FunctionPrices(gb_second=0.00004, request=0.0000004, minimum_seconds=1, step_seconds=0.1)
    bill = price_function(seconds, memory_bytes=4 * 2**30, prices=flex)
    assert bill.units == {"gb_seconds": pytest.approx(4 * billed), "requests": 1}
    assert bill.usd == pytest.approx(4 * billed * 0.00004 + 0.0000004)


def test_a_lambda_is_billed_in_milliseconds_by_the_memory_that_it_has() -> None:
    meter = find_meter({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "3008"}, memory_mb=0, prices=prices())
    bill = meter(1.23401)
    assert bill is not None
    assert bill.usd == pytest.approx(2.9375 * 1.235 * 0.0000166667 + 0.0000002)


def test_only_a_function_of_a_known_size_has_a_meter() -> None:
    flex = {"WEBSITE_SKU": "FlexConsumption"}
    assert find_meter({}, memory_mb=4096, prices=prices())(5) is None
    assert find_meter(flex, memory_mb=0, prices=prices())(5) is None
    assert find_meter(flex, memory_mb=4096, prices=prices(PRICES))(5) is None
    priced = find_meter(flex, memory_mb=4096, prices=prices())(5)
    assert priced == Bill(units={"gb_seconds": 20, "requests": 1}, usd=pytest.approx(20 * 0.00004 + 0.0000004))


def test_a_job_is_priced_by_what_its_service_bills() -> None:
    emr = price_job({"vcpu_hours": 2, "memory_gb_hours": 8, "storage_gb_hours": 100}, prices())
    assert emr.usd == pytest.approx(2 * 0.052585 + 8 * 0.005746)
    assert price_job({"run_hours": 1, "node_hours": 4}, prices()).usd == pytest.approx(4 * 0.7)
    for units in ({}, {"run_hours": 1, "node_hours_least": 2, "node_hours_most": 9}):
        assert price_job(units, prices()) == Bill(units=units, usd=None)
    assert price_job({"run_hours": 1, "node_hours": 4}, prices(PRICES + AZURE)).usd is None


RUNNING = Entry(tenant="acme", day=DAY, status="RUNNING", token=1, run_id="run1")
BILL = Bill(units={"gb_seconds": 12.5, "requests": 1}, usd=0.25)


def test_the_runs_of_a_day_are_summed_each_once_and_survive_the_store() -> None:
    failed = fail(RUNNING, error="the store was down", now=BEGIN, bill=BILL)
    assert (failed.billed, failed.cost_usd) == ({"gb_seconds": 12.5, "requests": 1}, 0.25)
    again = replace(failed, status="SUBMITTED")
    job = Bill(units={"vcpu_hours": 1.5}, usd=1.0)
    done = complete(again, receipt=make_receipt(), receipt_key="key", output_path="out", now=BEGIN, bill=job)
    assert done.billed == {"gb_seconds": 12.5, "requests": 1, "vcpu_hours": 1.5}
    assert done.cost_usd == 1.25
    # A write whose response was lost is repeated.
    assert complete(done, receipt=make_receipt(), receipt_key="key", output_path="out", now=BEGIN, bill=job) == done
    assert from_item(to_item(done)) == done


def test_a_run_of_which_nothing_is_known_adds_nothing() -> None:
    unknown = fail(RUNNING, error="lost", now=BEGIN, bill=Bill(units={}))
    assert (unknown.billed, unknown.cost_usd) == (None, None)
    assert fail(replace(RUNNING, cost_usd=0.5), error="lost", now=BEGIN, bill=Bill(units={})).cost_usd == 0.5


@pytest.mark.parametrize("published", [True, False])
def test_a_settled_job_leaves_its_bill_in_the_ledger(published: bool) -> None:
    ledger, output = Ledger(store=MemoryStore(), clock=Clock(), lease=LEASE), ObjectStore()
    lease = ledger.acquire("acme", DAY, owner="a:1:1", run_id="run1")
    ledger.hand_over(lease, reason="large", job_token="t", job_id="job-1", duration=LEASE)
    if published:
        output.put(receipt_key("acme", DAY, "run1"), to_json(make_receipt()).encode())
    entry = ledger.find("acme", DAY)
    assert entry is not None
    billed = {"vcpu_hours": 1.0, "memory_gb_hours": 2.0, "storage_gb_hours": 0.0}
    service = Service(end="SUCCEEDED" if published else "FAILED", billed=billed)
    settled = reconcile(entry, ledger=ledger, submitter=service, output=output, output_path="out")
    assert settled.entry.status == ("COMPLETED" if published else "FAILED")
    emr = load_prices().emr
    assert settled.entry.billed == billed
    assert settled.entry.cost_usd == pytest.approx(emr.vcpu_hour + 2 * emr.gb_hour)


def test_a_day_in_a_function_is_billed_for_the_time_that_it_took_even_if_it_fails(tmp_path: Path) -> None:
    generate(messages=10, layout="export", seed=1, out=tmp_path / "in", files=1)
    seconds: list[float] = []

    def meter(spent: float) -> Bill:
        seconds.append(spent)
        return Bill(units={"gb_seconds": spent}, usd=0.5)

    def never() -> Any:
        raise AssertionError("Spark was started")

    ledger = Ledger(store=MemoryStore(), clock=Clock())
    source, output = parse_url(str(tmp_path / "in")), parse_url(str(tmp_path / "out"))
    request = Request(tenant="acme", day=DAY, input=source, output=output)

    def run(**changed: Any) -> Entry | None:
        options = load_settings(flags=changed, environ={})
        Dispatch(settings=options, ledger=ledger, local=LocalRunner, spark=never, meter=meter).run(
            request, progress=silent
        )
        return ledger.find("acme", DAY)

    first = run()
    assert first is not None and first.billed is not None
    assert first.billed["gb_seconds"] == pytest.approx(seconds[0], abs=1e-6)
    assert seconds[0] > 0
    (tmp_path / "in").rename(tmp_path / "gone")
    with pytest.raises(TerminalError):
        run()
    failed = ledger.find("acme", DAY)
    assert failed is not None
    assert (failed.status, failed.cost_usd, len(seconds)) == ("FAILED", 1.0, 2)


def test_months_are_summed_by_tenant_and_what_is_not_known_is_counted() -> None:
    months = sum_by_month(
        [
            ("b", date(2025, 8, 31), 1.0),
            ("a", date(2025, 9, 1), 2.0),
            ("a", date(2025, 8, 1), 0.5),
            ("a", date(2025, 8, 2), None),
            ("a", date(2025, 8, 3), 0.25),
        ]
    )
    assert [(each.tenant, each.month, each.days, each.cost_usd, each.unknown) for each in months] == [
        ("a", "2025-08", 3, 0.75, 1),
        ("a", "2025-09", 1, 2.0, 0),
        ("b", "2025-08", 1, 1.0, 0),
    ]

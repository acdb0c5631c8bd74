"""Bills: what each host charges for a run, their sums in the ledger, and their sums by month."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore as ObjectStore

from daily_batch.domain.bill import Bill
from daily_batch.domain.receipt import receipt_key, to_json
from daily_batch.domain.request import Request
from daily_batch.domain.url import parse_url
from daily_batch.errors import TerminalError
from daily_batch.ledger import Entry, Ledger
from daily_batch.ledger.item_codec import from_item, to_item
from daily_batch.ledger.transitions import complete, fail
from daily_batch.orchestration.dispatch import Dispatch
from daily_batch.orchestration.routing.billing import find_meter, price_function, price_job
from daily_batch.orchestration.routing.costs import sum_by_month
from daily_batch.orchestration.routing.prices import FunctionPrices, load_prices
from daily_batch.orchestration.spark_jobs.reconcile import reconcile
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.settings import load_settings
from daily_batch.synthetic import generate
from tests.support.day_runs import DAY, silent
from tests.support.job_service import Service
from tests.support.ledger_doubles import BEGIN, LEASE, Clock, MemoryStore, make_receipt
from tests.support.routing_constants import AZURE_PRICES, PRICES, make_prices

# What was billed


@pytest.mark.parametrize(
    ("seconds", "billed"), [(0.0, 1.0), (0.4, 1.0), (1.0, 1.0), (1.01, 1.1), (1.1, 1.1), (2.3, 2.3), (12.3456, 12.4)]
)
def test_flex_bills_at_least_one_second_in_steps_of_a_tenth(seconds: float, billed: float) -> None:
    flex = FunctionPrices(gb_second=0.00004, request=0.0000004, minimum_seconds=1, step_seconds=0.1)
    bill = price_function(seconds, memory_bytes=4 * 2**30, prices=flex)
    assert bill.units == {"gb_seconds": pytest.approx(4 * billed), "requests": 1}
    assert bill.usd == pytest.approx(4 * billed * 0.00004 + 0.0000004)


def test_lambda_is_billed_in_milliseconds_of_its_memory() -> None:
    meter = find_meter({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "3008"}, memory_mb=0, prices=make_prices())
    bill = meter(1.23401)
    assert bill is not None
    assert bill.usd == pytest.approx(2.9375 * 1.235 * 0.0000166667 + 0.0000002)


def test_only_a_function_of_a_known_size_has_a_meter() -> None:
    flex = {"WEBSITE_SKU": "FlexConsumption"}
    assert find_meter({}, memory_mb=4096, prices=make_prices())(5) is None
    assert find_meter(flex, memory_mb=0, prices=make_prices())(5) is None
    assert find_meter(flex, memory_mb=4096, prices=make_prices(PRICES))(5) is None
    priced = find_meter(flex, memory_mb=4096, prices=make_prices())(5)
    assert priced == Bill(units={"gb_seconds": 20, "requests": 1}, usd=pytest.approx(20 * 0.00004 + 0.0000004))


def test_job_price_is_computed_from_billed_units() -> None:
    emr = price_job({"vcpu_hours": 2, "memory_gb_hours": 8, "storage_gb_hours": 100}, make_prices())
    assert emr.usd == pytest.approx(2 * 0.052585 + 8 * 0.005746)
    assert price_job({"run_hours": 1, "node_hours": 4}, make_prices()).usd == pytest.approx(4 * 0.7)
    for units in ({}, {"run_hours": 1, "node_hours_least": 2, "node_hours_most": 9}):
        assert price_job(units, make_prices()) == Bill(units=units, usd=None)
    assert price_job({"run_hours": 1, "node_hours": 4}, make_prices(PRICES + AZURE_PRICES)).usd is None


RUNNING = Entry(tenant="acme", day=DAY, status="RUNNING", token=1, run_id="run1")
BILL = Bill(units={"gb_seconds": 12.5, "requests": 1}, usd=0.25)


def test_bills_of_a_days_runs_are_summed_once_and_stored() -> None:
    failed = fail(RUNNING, error="the store was down", now=BEGIN, bill=BILL)
    assert (failed.billed, failed.cost_usd) == ({"gb_seconds": 12.5, "requests": 1}, 0.25)
    resubmitted = replace(failed, status="SUBMITTED")
    job = Bill(units={"vcpu_hours": 1.5}, usd=1.0)
    completed = complete(resubmitted, receipt=make_receipt(), receipt_key="key", output_path="out", now=BEGIN, bill=job)
    assert completed.billed == {"gb_seconds": 12.5, "requests": 1, "vcpu_hours": 1.5}
    assert completed.cost_usd == 1.25
    # A write whose response was lost is repeated.
    assert (
        complete(completed, receipt=make_receipt(), receipt_key="key", output_path="out", now=BEGIN, bill=job)
        == completed
    )
    assert from_item(to_item(completed)) == completed


def test_unknown_bill_adds_nothing() -> None:
    unknown = fail(RUNNING, error="lost", now=BEGIN, bill=Bill(units={}))
    assert (unknown.billed, unknown.cost_usd) == (None, None)
    assert fail(replace(RUNNING, cost_usd=0.5), error="lost", now=BEGIN, bill=Bill(units={})).cost_usd == 0.5


@pytest.mark.parametrize("published", [True, False])
def test_reconciled_job_records_its_bill_in_the_ledger(published: bool) -> None:
    ledger, output = Ledger(store=MemoryStore(), clock=Clock(), lease=LEASE), ObjectStore()
    lease = ledger.acquire("acme", DAY, owner="a:1:1", run_id="run1")
    ledger.hand_over(lease, reason="large", job_token="t", job_id="job-1", duration=LEASE)
    if published:
        output.put(receipt_key("acme", DAY, "run1"), to_json(make_receipt()).encode())
    entry = ledger.find("acme", DAY)
    assert entry is not None
    billed = {"vcpu_hours": 1.0, "memory_gb_hours": 2.0, "storage_gb_hours": 0.0}
    service = Service(end="SUCCEEDED" if published else "FAILED", billed=billed)
    result = reconcile(entry, ledger=ledger, submitter=service, output=output, output_path="out")
    assert result.entry.status == ("COMPLETED" if published else "FAILED")
    emr = load_prices().emr
    assert result.entry.billed == billed
    assert result.entry.cost_usd == pytest.approx(emr.vcpu_hour + 2 * emr.gb_hour)


def test_function_day_is_billed_for_its_duration_even_if_it_fails(tmp_path: Path) -> None:
    generate(messages=10, layout="export", seed=1, out=tmp_path / "in", files=1)
    seconds: list[float] = []

    def meter(spent: float) -> Bill:
        seconds.append(spent)
        return Bill(units={"gb_seconds": spent}, usd=0.5)

    def fail_to_start() -> Any:
        raise AssertionError("Spark was started")

    ledger = Ledger(store=MemoryStore(), clock=Clock())
    source, output = parse_url(str(tmp_path / "in")), parse_url(str(tmp_path / "out"))
    request = Request(tenant="acme", day=DAY, input=source, output=output)

    def run(**changed: Any) -> Entry | None:
        options = load_settings(flags=changed, environ={})
        Dispatch(settings=options, ledger=ledger, local=LocalRunner, spark=fail_to_start, meter=meter).run(
            request, progress=silent
        )
        return ledger.find("acme", DAY)

    entry = run()
    assert entry is not None and entry.billed is not None
    assert entry.billed["gb_seconds"] == pytest.approx(seconds[0], abs=1e-6)
    assert seconds[0] > 0
    (tmp_path / "in").rename(tmp_path / "gone")
    with pytest.raises(TerminalError):
        run()
    failed = ledger.find("acme", DAY)
    assert failed is not None
    assert (failed.status, failed.cost_usd, len(seconds)) == ("FAILED", 1.0, 2)


def test_months_sum_costs_by_tenant_and_count_unknown_days() -> None:
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

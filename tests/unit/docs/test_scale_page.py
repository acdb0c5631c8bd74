"""docs/scale.md: its tables are what routing predicts now, and its limits are where the predictions say."""

import re

import pytest

from bench.costs import END, TITLES, volume_of
from bench.scale import BEGIN, PAGE, SIZES, render_tables
from bench.scale_limits import LARGEST, SERVICES, databricks, emr, find_first, find_limits, find_size, read_default
from daily_batch.orchestration.routing import load_predictions
from daily_batch.orchestration.routing.costs import predict_costs
from daily_batch.orchestration.routing.prices import load_prices
from daily_batch.orchestration.spark_jobs import JobSize
from daily_batch.orchestration.spark_jobs.emr_request import fit_size
from daily_batch.settings import Settings
from tests.support.day_runs import ROOT


def test_tables_are_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page[page.index(BEGIN) + len(BEGIN) : page.index(END)] == render_tables()


@pytest.mark.parametrize("layout", TITLES)
@pytest.mark.parametrize("messages", SIZES)
def test_page_and_cost_predictions_agree(layout: str, messages: int) -> None:
    day, predictions = volume_of(layout, messages), load_predictions()  # type: ignore[arg-type]
    hosts = {cost.host: cost for cost in predict_costs(day, predictions=predictions, prices=load_prices())}
    jobs = {"EMR Serverless": emr(day, predictions), "Databricks": databricks(day, predictions)}
    for host, job in jobs.items():
        assert (hosts[host].seconds, hosts[host].memory_bytes) == (job.seconds, job.memory_bytes)
        assert hosts[host].usd_day == (None if hosts[host].obstacles else job.usd)


@pytest.mark.parametrize("messages", SIZES)
def test_the_capacity_that_the_page_names_is_enough_for_the_job_that_is_submitted(messages: int) -> None:
    rows = PAGE.read_text(encoding="utf-8").split("keep every executor")[1]
    found = re.search(rf"^\| {messages:,} \| (\d+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|", rows, re.MULTILINE)
    assert found is not None
    executors, vcpus, memory, disk = (int(number.replace(",", "")) for number in found.groups())
    job = emr(volume_of("export", messages), load_predictions(), vcpus=vcpus)
    capacity = {"cpu": f"{vcpus} vCPU", "memory": f"{memory} GB", "disk": f"{disk} GB"}
    size = JobSize(executors=executors, disk_gb=job.disk_gb)
    assert job.workers == executors
    assert fit_size(size, vcpus=vcpus, capacity=capacity) == size
    for name, less in (("cpu", f"{vcpus - 1} vCPU"), ("memory", f"{memory - 1} GB"), ("disk", f"{disk - 1} GB")):
        if executors > 1:
            assert fit_size(size, vcpus=vcpus, capacity={**capacity, name: less}).executors < executors


@pytest.mark.parametrize("layout", TITLES)
def test_a_limit_is_met_from_the_size_that_the_page_names(layout: str) -> None:
    for limit in find_limits():
        size = find_size(layout, limit)  # type: ignore[arg-type]
        if size is None:
            assert not limit.is_met(volume_of(layout, LARGEST))  # type: ignore[arg-type]
        else:
            assert limit.is_met(volume_of(layout, size))  # type: ignore[arg-type]
            assert not limit.is_met(volume_of(layout, size * 99 // 100))  # type: ignore[arg-type]


def test_the_first_limit_of_a_day_is_one_that_it_meets() -> None:
    for layout in TITLES:
        for messages in SIZES:
            for service in SERVICES:
                first = find_first(layout, messages, service)
                if first is not None:
                    size = find_size(layout, first)
                    assert size is not None
                    assert size <= messages


def test_the_default_capacity_holds_the_jobs_of_the_default_quota() -> None:
    assert read_default("EmrVcpus") == Settings.emr_vcpus
    for layout in TITLES:
        job = emr(volume_of(layout, 10**10), load_predictions())
        assert 20 + job.workers * job.disk_gb <= read_default("EmrDisk")


def test_the_pages_about_costs_and_routing_link_here() -> None:
    for name in ("README.md", "costs.md", "routing.md"):
        assert "(scale.md)" in (ROOT / "docs" / name).read_text(encoding="utf-8")

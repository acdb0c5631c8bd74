"""The choice of a runner: limits, reasons, monotonicity in the volume, and costs computed by hand."""

import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib import resources
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daily_batch.errors import UsageError
from daily_batch.orchestration.routing import (
    Decision,
    FunctionLimits,
    Predictions,
    Prices,
    Thresholds,
    Volume,
    decide,
    load_predictions,
    load_prices,
)
from daily_batch.orchestration.routing.prices import parse_constants
from tests.support.day_runs import ROOT, child_environment
from tests.support.routing_constants import CONSTANTS, PRICES

PREDICTIONS = parse_constants(CONSTANTS, Predictions, origin="predictions.toml")
FUNCTION = FunctionLimits(memory_bytes=3008 * 2**20, seconds=900, cores=1.7, temp_bytes=512 * 2**20)
ROOMY = FunctionLimits(memory_bytes=2**40, seconds=0, cores=2, temp_bytes=2**50)
ENDLESS = Thresholds(large_messages=10**15)


def route(
    volume: Volume,
    *,
    limits: FunctionLimits = FUNCTION,
    thresholds: Thresholds = Thresholds(),  # noqa: B008 - frozen
    predictions: Predictions = PREDICTIONS,
    choice: Literal["auto", "local", "spark"] = "auto",
) -> Decision:
    prices = parse_constants(PRICES, Prices, origin="prices.toml")
    return decide(volume, limits=limits, thresholds=thresholds, predictions=predictions, prices=prices, choice=choice)


def objects(count: int, *, size: int = 800) -> Volume:
    return Volume(layout="messages", objects=count, bytes=count * size)


def exports(messages: int, *, files: int = 10) -> Volume:
    return Volume(layout="export", objects=files, bytes=messages * 200)


@pytest.mark.parametrize("day", [objects, exports])
def test_day_above_large_messages_runs_on_spark(day: Callable[[int], Volume]) -> None:
    assert route(day(100_000)).runner == "local"
    assert route(day(100_000)).reasons[0] == "about 100,000 messages, within large_messages 100,000"
    above = route(day(100_001))
    assert above.runner == "spark"
    assert above.reasons == ("about 100,001 messages, more than large_messages 100,000",)


def test_small_day_is_within_the_free_tier() -> None:
    reason = "about 1,000 messages, within small_messages 1,000: the free tier serves"
    assert route(objects(1_000)).reasons[0] == reason
    assert "free tier" not in " ".join(route(objects(1_001)).reasons)


def test_thresholds_can_be_set() -> None:
    thresholds = Thresholds(small_messages=10, large_messages=20)
    assert route(objects(20), thresholds=thresholds).runner == "local"
    assert route(objects(21), thresholds=thresholds).runner == "spark"
    assert "free tier" in route(objects(10), thresholds=thresholds).reasons[0]


def test_day_above_its_time_share_runs_on_spark() -> None:
    # 6 s + objects x (0.0005 + 0.0001) core seconds on 2 cores; 0.5 of 612 s are 306 s.
    limits = FunctionLimits(memory_bytes=2**40, seconds=612, cores=2, temp_bytes=2**50)
    half = Thresholds(large_messages=10**9, time_share=0.5)
    assert route(objects(999_999), limits=limits, thresholds=half).runner == "local"
    assert route(objects(1_000_003), limits=limits, thresholds=half).reasons == (
        "predicted 306 s, more than 0.5 of the 612 s that a local run has",
    )


def test_predicted_time_scales_with_cores_up_to_the_measured_number() -> None:
    def seconds(cores: float) -> float:
        limits = FunctionLimits(memory_bytes=2**30, seconds=900, cores=cores, temp_bytes=2**40)
        return route(objects(10_000), limits=limits).local.seconds

    assert seconds(2) == pytest.approx(6 + 3)
    assert seconds(1) == pytest.approx(6 + 6)
    assert seconds(0.5) == pytest.approx(12 + 12)
    assert seconds(64) == seconds(2)


def test_without_a_time_limit_no_day_is_too_long() -> None:
    decision = route(objects(10**8), limits=ROOMY, thresholds=ENDLESS)
    assert decision.runner == "local"
    assert decision.reasons[1] == "predicted 30,006 s without a time limit"


def test_day_above_available_memory_runs_on_spark() -> None:
    # 200 MiB and 4 KiB a message; 10,000 messages are 239 MiB.
    limits = FunctionLimits(memory_bytes=239 * 2**20, seconds=900, cores=1, temp_bytes=2**40)
    assert route(objects(9_984), limits=limits).runner == "local"
    assert route(objects(9_985), limits=limits).runner == "spark"
    assert route(objects(20_000), limits=limits).reasons == ("needs 278 MiB of memory, a local run has 239 MiB",)


def test_memory_stops_growing_where_the_kernel_spills() -> None:
    assert route(objects(10**7), limits=ROOMY, thresholds=ENDLESS).local.memory_bytes == 512 * 2**20


def test_day_above_available_disk_runs_on_spark() -> None:
    limits = FunctionLimits(memory_bytes=2**40, seconds=0, cores=2, temp_bytes=20 * 2**20)
    assert route(exports(20_480), limits=limits).runner == "local"
    assert route(exports(40_960), limits=limits).reasons == ("needs 40 MiB of temporary disk, a local run has 20 MiB",)


def test_every_applicable_reason_is_given() -> None:
    tiny = FunctionLimits(memory_bytes=2**20, seconds=1, cores=1, temp_bytes=2**20)
    reasons = route(objects(200_000), limits=tiny).reasons
    assert [reason.split()[0] for reason in reasons] == ["about", "predicted", "needs", "needs"]


def test_large_object_counts_as_one_message_with_time_for_its_bytes() -> None:
    usual, large = objects(1_000), objects(1_000, size=80_000)
    assert route(large).reasons[0] == route(usual).reasons[0]
    assert route(large).local.seconds - route(usual).local.seconds == pytest.approx(99_000 * 0.0001 / 1.7)


def test_requested_runner_takes_precedence_with_reasons_against_it() -> None:
    local = route(objects(100_001), choice="local")
    assert local.runner == "local"
    assert local.reasons == (
        "local was requested",
        "although about 100,001 messages, more than large_messages 100,000",
    )
    spark = route(objects(10), choice="spark")
    assert spark.runner == "spark"
    assert spark.reasons[:2] == (
        "spark was requested",
        "although about 10 messages, within small_messages 1,000: the free tier serves",
    )


def test_requested_runner_without_objections_is_the_only_reason() -> None:
    assert route(objects(10), choice="local").reasons == ("local was requested",)
    assert route(objects(10**6), choice="spark").reasons == ("spark was requested",)


def test_empty_day_runs_locally() -> None:
    for layout in ("messages", "export"):
        decision = route(Volume(layout=layout, objects=0, bytes=0))
        assert decision.runner == "local"
        assert decision.local.seconds == 6


amounts = st.integers(0, 10**12)
some_limits = st.builds(
    FunctionLimits,
    memory_bytes=st.integers(1, 2**36),
    seconds=st.one_of(st.just(0), st.floats(0.1, 10**5)),
    cores=st.floats(0.05, 64),
    temp_bytes=st.integers(0, 2**40),
)
some_thresholds = st.builds(Thresholds, small_messages=amounts, large_messages=amounts, time_share=st.floats(0.01, 1))


@given(
    layout=st.sampled_from(["messages", "export"]),
    first=st.tuples(amounts, amounts),
    more=st.tuples(amounts, amounts),
    limits=some_limits,
    thresholds=some_thresholds,
)
def test_larger_day_never_goes_back_to_local(
    layout: Literal["messages", "export"],
    first: tuple[int, int],
    more: tuple[int, int],
    limits: FunctionLimits,
    thresholds: Thresholds,
) -> None:
    day = Volume(layout=layout, objects=first[0], bytes=first[1])
    larger_volume = Volume(layout=layout, objects=first[0] + more[0], bytes=first[1] + more[1])
    decision, larger_decision = (route(each, limits=limits, thresholds=thresholds) for each in (day, larger_volume))
    assert (decision.runner, larger_decision.runner) != ("spark", "local")
    assert decision.local.seconds <= larger_decision.local.seconds
    assert decision.local.cost_usd <= larger_decision.local.cost_usd


def test_predicted_function_cost_matches_hand_computation() -> None:
    local = route(objects(50_000)).local
    seconds = 6 + (50_000 * 0.0005 + 50_000 * 0.0001) / 1.7  # 23.647 s
    assert local.seconds == pytest.approx(seconds)
    compute = 3008 / 1024 * seconds * 0.0000166667 + 0.0000002  # 2.9375 GB
    requests = 50_000 * 0.00000037 + (1 + 2_500) * 0.0000047 + 12 * 0.0000047
    assert local.cost_usd == pytest.approx(compute + requests)
    assert local.cost_usd == pytest.approx(0.031469, abs=5e-7)


def test_predicted_emr_cost_matches_hand_computation() -> None:
    # 30 million messages, 3,000 core seconds: 3 executors, of 4 vCPU each, would be busy for 250 s.
    spark = route(exports(30_000_000, files=300)).spark
    assert spark.seconds == pytest.approx(120 + 15 + (30_000_000 * 0.0001 + 300 * 0.0005) / 12)
    assert spark.memory_bytes == (8 + 3 * 16) * 2**30
    compute = spark.seconds / 3600 * (14 * 0.052585 + 56 * 0.005746)
    # The 300 chunks of the manifest are written and read; 6 GB of Parquet are sent in 1,145 parts of 5 MiB.
    requests = (300 + 300) * 0.00000037 + 2 * 0.0000047 + (12 + 300 + 1_144) * 0.0000047
    assert spark.cost_usd == pytest.approx(compute + requests)
    assert spark.cost_usd == pytest.approx(0.120222, abs=5e-7)


def test_emr_worker_is_billed_for_at_least_a_minute() -> None:
    short_start = parse_constants(
        CONSTANTS.replace("start_seconds = 120", "start_seconds = 1").replace("= 15\n", "= 1\n"),
        Predictions,
        origin="predictions.toml",
    )
    spark = route(Volume(layout="export", objects=0, bytes=0), predictions=short_start).spark
    assert spark.seconds == pytest.approx(2, abs=0.01)
    assert spark.cost_usd == pytest.approx((6 * 0.052585 + 24 * 0.005746) / 60 + 13 * 0.0000047)


@pytest.mark.parametrize(("name", "load"), [("predictions.toml", load_predictions), ("prices.toml", load_prices)])
def test_packaged_constants_equal_those_of_conf(name: str, load: Callable[[], Predictions | Prices]) -> None:
    packaged = (resources.files("daily_batch") / name).read_text(encoding="utf-8")
    assert packaged == (ROOT / "conf" / name).read_text(encoding="utf-8")
    assert load() is load()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert name in project["tool"]["setuptools"]["package-data"]["daily_batch"]


def test_packaged_constants_keep_the_guides_sizes() -> None:
    per_message = load_predictions().stored.export_message_bytes
    for messages, runner in ((1_000, "local"), (99_000, "local"), (101_000, "spark")):
        for day in (objects(messages), Volume(layout="export", objects=9, bytes=int(messages * per_message))):
            assert route(day, predictions=load_predictions()).runner == runner


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ("cores = 2", "cores = 2\nnodes = 3", "nodes"),
        ("cores = 2", "", "cores"),
        ("[spark]", "[sparks]", "spark"),
        ("cores = 2", 'cores = "two"', "local.cores"),
        ("cores = 2", "cores = 0", "local.cores"),
        ("cores = 2", "cores = nan", "local.cores"),
        ("cores = 2", "cores = inf", "local.cores"),
        ("cores = 2", "cores =", "line"),
    ],
)
def test_invalid_constant_is_named(before: str, after: str, text: str) -> None:
    with pytest.raises(UsageError, match=text) as caught:
        parse_constants(CONSTANTS.replace(before, after), Predictions, origin="predictions.toml")
    assert caught.value.what.startswith("predictions.toml: ")


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [("request =", "requests = 1\nrequest =", "requests"), ("get = 0.00000037", "", "get"), ("0.0000047", "-1", "put")],
)
def test_invalid_price_is_named(before: str, after: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        parse_constants(PRICES.replace(before, after, 1), Prices, origin="prices.toml")


def test_routing_loads_no_engine_and_no_store() -> None:
    program = "import sys, daily_batch.orchestration.routing as r; r.load_prices(); print(*sys.modules)"
    process = subprocess.run(
        [sys.executable, "-c", program], env=child_environment(), capture_output=True, text=True, check=True
    )
    assert not {"duckdb", "obstore", "pyspark", "deltalake", "pyarrow", "numpy"} & set(process.stdout.split())

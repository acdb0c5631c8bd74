"""The ceiling max_usd: which jobs it refuses, and what it says."""

import pytest

from daily_batch.errors import UsageError
from daily_batch.orchestration.routing import Prices, Volume
from daily_batch.orchestration.routing.ceiling import JobCost, find_refusal, predict_job_cost
from daily_batch.orchestration.routing.jobs import predict_databricks, predict_emr
from daily_batch.orchestration.routing.prices import at_azure_prices, load_predictions
from daily_batch.settings import load_settings
from tests.support.routing_constants import AZURE_PRICES, PRICES, make_prices

PREDICTIONS = load_predictions()
OBJECTS = Volume(layout="messages", objects=1_000_000, bytes=800_000_000)
EXPORTS = Volume(layout="export", objects=10_000, bytes=171_000_000_000)


def predict(volume: Volume | None, *, prices: Prices | None = None, **flags: object) -> JobCost | None:
    settings = load_settings(flags={"spark": "emr-serverless", **flags}, environ={})
    return predict_job_cost(volume, settings, predictions=PREDICTIONS, prices=prices or make_prices())


def test_without_a_ceiling_every_job_is_submitted() -> None:
    for volume in (OBJECTS, EXPORTS, None):
        for spark in ("emr-serverless", "databricks"):
            assert find_refusal(predict(volume, spark=spark, prices=make_prices(PRICES))) is None


def test_a_job_that_costs_more_than_the_ceiling_is_refused() -> None:
    usd = predict_emr(EXPORTS, vcpus=16, predictions=PREDICTIONS, prices=make_prices()).usd
    assert usd is not None
    cost = predict(EXPORTS, max_usd=usd)
    assert cost is not None
    assert (cost.usd, find_refusal(cost)) == (usd, None)
    refusal = find_refusal(predict(EXPORTS, max_usd=0.5))
    assert refusal is not None
    assert refusal.what == (f"the job on emr-serverless is predicted to cost {usd:.4f} USD, and max_usd is 0.5")
    assert (
        refusal.next_step == f"run the day with MAKOTO_MAX_USD={int(usd) + 1} if it may cost that much (docs/costs.md)"
    )


def test_the_next_step_of_a_day_of_objects_names_exports() -> None:
    refusal = find_refusal(predict(OBJECTS, max_usd=0.1))
    assert refusal is not None
    assert "store such days as exports" in refusal.next_step


def test_the_ceiling_counts_the_executors_of_the_quota() -> None:
    few, many = (predict(EXPORTS, max_usd=1, emr_vcpus=vcpus) for vcpus in (16, 400))
    assert few is not None and many is not None and few.usd is not None and many.usd is not None
    assert few.usd < many.usd  # each further executor is paid for while the job starts


def test_databricks_needs_node_prices() -> None:
    known = predict_databricks(OBJECTS, predictions=PREDICTIONS, prices=at_azure_prices(make_prices()))
    assert known is not None and known.usd is not None
    assert find_refusal(predict(OBJECTS, spark="databricks", max_usd=known.usd + 0.01)) is None
    refusal = find_refusal(predict(OBJECTS, spark="databricks", max_usd=known.usd - 0.01))
    assert refusal is not None
    assert f"{known.usd:.4f} USD" in refusal.what


@pytest.mark.parametrize("prices", [PRICES, PRICES + AZURE_PRICES])
def test_a_job_of_unknown_cost_is_refused_with_the_missing_prices(prices: str) -> None:
    cost = predict(OBJECTS, spark="databricks", max_usd=1_000_000, prices=make_prices(prices))
    refusal = find_refusal(cost)
    assert cost is not None and refusal is not None
    assert cost.usd is None
    assert refusal.what == "the cost of a job on databricks is not known, and max_usd is 1,000,000"
    assert "set node_dbus, node_hour and [blob] in conf/prices.toml" in refusal.next_step


def test_a_day_that_was_not_listed_is_refused() -> None:
    refusal = find_refusal(predict(None, max_usd=5))
    assert refusal is not None
    assert refusal.what == "the day was not listed, so the cost of its job is not known, and max_usd is 5"


@pytest.mark.parametrize("spark", ["here", "spark-submit"])
def test_spark_on_this_machine_costs_nothing(spark: str) -> None:
    assert predict(EXPORTS, spark=spark, max_usd=0.01) is None


@pytest.mark.parametrize("amount", [-1, float("nan"), float("inf"), "much"])
def test_an_amount_that_is_no_ceiling_is_refused(amount: object) -> None:
    with pytest.raises(UsageError, match="max_usd"):
        load_settings(flags={}, environ={"MAKOTO_MAX_USD": str(amount)})

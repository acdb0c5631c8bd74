"""Microsoft's own renderer of Adaptive Cards reads the message for Teams as it was written."""

import json
import subprocess
from typing import Any

import pytest

from daily_batch.orchestration.night_message import ORDER, build_message
from daily_batch.orchestration.night_summary import Summary
from tests.local_cloud.common.node import NODE, install_packages
from tests.support.day_runs import ROOT
from tests.support.night_summaries import make_largest_summary, make_summary

SOURCE = ROOT / "tests/support/adaptive_cards"


def parse(card: dict[str, Any]) -> dict[str, Any]:
    """Return the problems that the parser reports, and the card that it read."""
    package = install_packages("adaptivecards-3.0.6", SOURCE) / "adaptivecards"
    command = [NODE, str(SOURCE / "check.js"), str(package)]
    parsed = subprocess.run(command, input=json.dumps([card]), capture_output=True, text=True, check=True)
    (found,) = json.loads(parsed.stdout)
    answer: dict[str, Any] = found
    return answer


def make_card(summary: Summary) -> dict[str, Any]:
    message = build_message(summary, to="teams", report_url="https://reports.example.com/night.html")
    card: dict[str, Any] = message["attachments"][0]["content"]
    return card


@pytest.mark.parametrize("summary", [make_summary(), make_summary(*ORDER, "CHANGED"), make_largest_summary()])
def test_microsofts_parser_reads_the_whole_card(summary: Summary) -> None:
    card = make_card(summary)
    assert parse(card) == {"problems": [], "card": card}


def test_microsofts_parser_reports_mistakes() -> None:
    card = make_card(make_summary("FAILED"))
    card["body"][0]["weight"] = "Boldest"
    card["body"][1]["type"] = "Facts"
    card["body"][2]["inlines"][0]["type"] = "Text"
    assert len(parse(card)["problems"]) == 3

"""The page in a browser: languages, light and dark mode, no network access, hostile data."""

import json
import re
import shutil
import tomllib
from dataclasses import replace
from datetime import timedelta
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from bench.report_range import make_entry, write_range
from daily_batch.domain.receipt import Receipt
from daily_batch.ledger.item_codec import to_item
from daily_batch.metadata.sqlite import SqliteStore
from daily_batch.reporting.texts import load_texts
from tests.local_cloud.common.chromium import Page, View, open_pages
from tests.support.report_days import DATES, TENANTS, Fortnight, report
from tests.support.spark_session import ROOT

HOSTILE = "<script>document.title='hit'</script><img src=//127.0.0.1/x onerror=alert(1)>\"'--><svg/onload=alert(2)>"
INSPECT_PAGE = """
(() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const style = (one) => getComputedStyle(one);
  const colors = (one) => [style(one).color, style(one).backgroundColor];
  const cells = all("#map tbody td[title]");
  const kind = (cell) => cell.className.split(" ")[0];
  const rows = all("#map tbody tr");
  return {
    title: document.title,
    lang: document.documentElement.lang,
    headline: document.querySelector("h1").textContent,
    text: document.body.textContent,
    map: rows.map((row) => [row.querySelector("th").textContent, row.querySelectorAll("td[title]").length]),
    states: Object.fromEntries(cells.map((cell) => [kind(cell), colors(cell)])),
    signs: Object.fromEntries(cells.map((cell) => [kind(cell), cell.textContent[0]])),
    page: colors(document.body),
    charts: all("figure svg").map((one) => one.getBoundingClientRect().height),
    bars: all("#volumes .bar").length,
    fills: new Set(all("#rejects .bar rect").map((one) => style(one).fill)).size,
    foreign: all("script, img, iframe, object, embed, link, form, base").length,
    links: all("a").map((one) => one.getAttribute("href")),
    commands: all("#attention .command").map((one) => one.textContent),
    fits: all("#attention .command").every((one) => one.scrollWidth <= one.clientWidth),
    first: rows[0].querySelector("th").getBoundingClientRect().left,
    newest: rows[0].querySelector("td[title]:last-child").getBoundingClientRect().right,
    blank: all("#map tbody td").filter((one) => !one.textContent.trim()).length,
    width: window.innerWidth,
    handlers: all("*").flatMap((one) => one.getAttributeNames()).filter((name) => name.startsWith("on")),
    overflow: document.documentElement.scrollWidth - window.innerWidth,
  };
})()
"""
# Simulates a value that is not escaped.
INJECT_MARKUP = """
(() => {
  const script = document.createElement("script");
  script.textContent = "window.ran = true";
  const image = new Image();
  image.src = "http://127.0.0.1/picture.png";
  document.body.append(script, image);
  return new Promise((done) => setTimeout(() => done(window.ran === true), 50));
})()
"""
FIND_CUT_TABLES = """
[...document.querySelectorAll("section > table")]
  .filter((one) => one.scrollWidth > one.clientWidth)
  .map((one) => one.closest("section").id)
"""
VIEWS = {
    "en": ("en", {}),
    "en, dark": ("en", {"dark": True}),
    "ja": ("ja", {}),
    "en, phone": ("en", {"width": 390}),
    "ja, phone": ("ja", {"width": 390}),
}


@pytest.fixture(scope="module")
def views(fortnight: Fortnight, tmp_path_factory: pytest.TempPathFactory) -> dict[str, View]:
    """Return each view of the fortnight, in which all data of one day is hostile."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(fortnight[0], folder, dirs_exist_ok=True)
    plant_hostile_day(folder, fortnight[1][0])
    for lang in ("en", "ja"):
        assert report(folder, "--lang", lang, "--html", str(folder / f"{lang}.html")).exit_code == 0
    pages = [Page(file=folder / f"{lang}.html", expression=INSPECT_PAGE, **more) for lang, more in VIEWS.values()]  # type: ignore[arg-type]
    return dict(zip(VIEWS, open_pages(pages), strict=True))


def plant_hostile_day(output: Path, first: Receipt) -> None:
    """Write a failed day whose error, runner, reasons, stages and quality results are markup."""
    file = output / str(make_entry(first).receipt)
    receipt: dict[str, Any] = json.loads(file.read_text())
    receipt["rejects"], receipt["records"]["rejected"] = {HOSTILE: 7_000}, 7_000
    receipt["seconds"] = {HOSTILE: 100.0, "total": 100.0}
    receipt["quality"] = [{"rule": HOSTILE, "limit": 1.0, "measured": 2.0, "severity": "warn", "passed": False}]
    file.write_text(json.dumps(receipt))
    entry = replace(make_entry(first), status="FAILED", error=f"{HOSTILE}. Next step: {HOSTILE}.", runner=HOSTILE)
    store = SqliteStore(output / "makoto-ledger.sqlite")
    stored = store.get(to_item(entry)["PK"], to_item(entry)["SK"])
    assert stored is not None
    store.put(to_item(entry), expected=stored.version)


@pytest.mark.parametrize("name", VIEWS)
def test_page_makes_no_request_and_logs_no_error(views: dict[str, View], name: str) -> None:
    assert list(views[name].requests) == []
    assert list(views[name].console) == []


@pytest.mark.parametrize("name", VIEWS)
def test_hostile_data_is_shown_as_text_and_has_no_effect(views: dict[str, View], name: str) -> None:
    found = views[name].value
    assert "hit" not in found["title"]
    assert found["foreign"] == 0
    assert found["handlers"] == []
    # Error, next step, reason, stage, rule, runner: in tables, and two of them in a legend and in tooltips.
    assert found["text"].count(HOSTILE) >= 8


@pytest.mark.parametrize("name", VIEWS)
def test_map_has_one_cell_for_each_tenant_and_day(views: dict[str, View], name: str) -> None:
    rows = dict(views[name].value["map"])
    assert rows == dict.fromkeys(TENANTS, len(DATES))
    # The worst tenants come first.
    assert list(rows)[:3] == ["example-08", "example-05", "example-01"]


@pytest.mark.parametrize("name", VIEWS)
def test_states_differ_by_sign_and_by_color_and_are_readable(views: dict[str, View], name: str) -> None:
    found = views[name].value
    signs = found["signs"]
    assert set(signs) == {"s-completed", "s-completed-with-rejects", "s-failed", "s-missing"}
    assert len(set(signs.values())) == len(signs)
    assert len({tuple(colors) for colors in found["states"].values()}) == len(signs)
    for foreground, background in [*found["states"].values(), found["page"]]:
        assert contrast(foreground, background) >= 4.5


@pytest.mark.parametrize("name", VIEWS)
def test_page_draws_every_chart(views: dict[str, View], name: str) -> None:
    found = views[name].value
    assert len(found["charts"]) == 4
    assert min(found["charts"]) > 50
    assert found["bars"] == len(DATES)
    assert found["fills"] >= 3


def test_content_policy_blocks_scripts_and_requests_of_injected_markup(fortnight: Fortnight, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    report(fortnight[0], "--html", str(file))
    (view,) = open_pages([Page(file=file, expression=INJECT_MARKUP)])
    assert view.value is False
    refused = [line for line in view.console if "Content Security Policy" in line and "blocked" in line]
    assert len(refused) == len(view.console) == 2


def test_background_is_light_in_light_mode_and_dark_in_dark_mode(views: dict[str, View]) -> None:
    assert luminance(views["en"].value["page"][1]) > 0.9
    assert luminance(views["en, dark"].value["page"][1]) < 0.1


def test_each_language_has_its_headline(views: dict[str, View]) -> None:
    assert (views["en"].value["lang"], views["ja"].value["lang"]) == ("en", "ja")
    assert views["en"].value["headline"].startswith("3 tenants need attention: example-08, example-05, example-01; ")
    assert views["ja"].value["headline"].startswith("要対応のテナントが3件: example-08, example-05, example-01。")


@pytest.mark.parametrize("name", VIEWS)
def test_page_does_not_overflow_the_window(views: dict[str, View], name: str) -> None:
    assert views[name].value["overflow"] <= 0


@pytest.mark.parametrize("name", VIEWS)
def test_tenant_and_newest_day_are_visible_without_scrolling(views: dict[str, View], name: str) -> None:
    found = views[name].value
    assert 0 <= found["first"] < found["newest"] <= found["width"]
    assert found["blank"] == 0


@pytest.mark.parametrize("name", VIEWS)
def test_issues_link_to_runbooks_and_show_whole_commands(views: dict[str, View], name: str) -> None:
    found = views[name].value
    suffix = "ja.md" if found["lang"] == "ja" else "md"
    pages = ("days-failed", "days-late", "days-failed")
    assert sorted(found["links"]) == sorted(f"docs/runbooks/{page}.{suffix}" for page in pages)
    assert [command.split()[:2] for command in found["commands"]] == [
        ["makoto-batch", "backfill"],
        ["makoto-batch", "run"],
        ["makoto-batch", "run"],
    ]
    assert found["fits"]


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_tables_of_usual_names_fit_a_phone(fortnight: Fortnight, lang: str, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    report(fortnight[0], "--lang", lang, "--html", str(file))
    (view,) = open_pages([Page(file=file, expression=FIND_CUT_TABLES, width=390)])
    assert view.value == []


@pytest.mark.parametrize(
    ("lang", "legend"),
    [
        ("en", "before its first run (input not checked) 3"),
        ("ja", "最初の実行より前（入力は未確認） 3"),
    ],
)
def test_days_before_a_tenants_first_run_have_a_sign_and_an_explanation(lang: str, legend: str, tmp_path: Path) -> None:
    write_range(tmp_path, TENANTS[:1], DATES[3:], seed=7)
    page = tmp_path / "page.html"
    assert report(tmp_path, "--lang", lang, "--html", str(page), tenants=TENANTS[:1]).exit_code == 0
    text = page.read_text()
    assert re.findall(r'<td class="s-not-started[^>]*>([^<]*)</td>', text) == ["–"] * 3
    assert legend in text


def test_single_night_has_numbers_and_no_charts(fortnight: Fortnight, tmp_path: Path) -> None:
    page = tmp_path / "night.html"
    assert report(fortnight[0], "--from", str(DATES[-1]), "--html", str(page)).exit_code == 0
    text = page.read_text()
    assert f"<h2>{load_texts('en')('section.seconds')}" in text
    assert f"Business day {DATES[-1]} (night of {DATES[-1] + timedelta(days=1)})" in text
    assert "<svg" not in text


def test_package_contains_the_pages_files() -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    files = [file.name for file in (ROOT / "jobs/daily_batch/reporting").iterdir() if file.suffix not in (".py", "")]
    assert len(files) >= 4
    assert [name for name in files if not any(fnmatch(name, each) for each in patterns["daily_batch.reporting"])] == []


def contrast(foreground: str, background: str) -> float:
    """Return WCAG's contrast ratio of two colors in the browser's notation."""
    dark, light = sorted((luminance(foreground), luminance(background)))
    return (light + 0.05) / (dark + 0.05)


def luminance(color: str) -> float:
    """Return WCAG's relative luminance of `rgb(r, g, b)`."""
    parts = [int(part) / 255 for part in color[color.index("(") + 1 : -1].split(",")[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

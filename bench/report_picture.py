"""Write docs/img/report-en.png and report-ja.png from generated days, or a picture of an existing report.

python -m bench.report_picture
python -m bench.report_picture --page .makoto/endurance/AwsMonth.html --picture docs/img/endurance-test-aws.png
"""

import argparse
import tempfile
from datetime import date, timedelta
from pathlib import Path

from typer.testing import CliRunner

from bench.report_range import write_range
from daily_batch.cli import app
from tests.local_cloud.common.chromium import Page, open_pages
from tests.local_cloud.common.node import install_packages

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs/img"
# Chromium's own fonts have no Japanese glyphs; a user's machine has.
FONT = "@embedpdf/fonts-jp/fonts"
DATES = [date(2025, 7, 30) + timedelta(days=number) for number in range(14)]
TENANTS = [f"example-{number:02}" for number in range(1, 13)]


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path, help="an existing report (default: generated days)")
    parser.add_argument("--picture", type=Path, help="output file for the picture of --page")
    options = parser.parse_args()
    fonts = install_packages("japanese-font-1.0.0", ROOT / "tests/local_cloud/common/japanese_font") / FONT
    PICTURES.mkdir(parents=True, exist_ok=True)
    if options.page:
        open_pages([Page(file=options.page, width=1400, height=1570, screenshot=options.picture)], fonts=[fonts])
        return
    with tempfile.TemporaryDirectory(prefix="makoto-") as scratch:
        write_range(Path(scratch) / "out", TENANTS, DATES, seed=7)
        pages = [_render_page(Path(scratch), "en", dark=False), _render_page(Path(scratch), "ja", dark=True)]
        open_pages(pages, fonts=[fonts])


def _render_page(folder: Path, lang: str, *, dark: bool) -> Page:
    file = folder / f"{lang}.html"
    arguments = ["report", "--tenant", ",".join(TENANTS), "--from", str(DATES[0]), "--to", str(DATES[-1])]
    arguments += ["--output", str(folder / "out"), "--lang", lang, "--html", str(file)]
    result = CliRunner().invoke(app, arguments)
    if result.exit_code:
        raise SystemExit(result.stderr)
    return Page(file=file, dark=dark, width=1180, height=1570, screenshot=PICTURES / f"report-{lang}.png")


if __name__ == "__main__":
    main()

"""Makes docs/img/report-en.png and report-ja.png, of days that are made up; or a picture of a report that there is.

python -m bench.report_picture
python -m bench.report_picture --page .makoto/soak/AwsMonth.html --picture docs/img/soak-aws.png
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
# Chromium's own fonts know no Japanese; a person's machine does.
FONT = "@embedpdf/fonts-jp/fonts"
DATES = [date(2025, 7, 30) + timedelta(days=number) for number in range(14)]
TENANTS = [f"example-{number:02}" for number in range(1, 13)]


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path, help="a report; without it days are made up")
    parser.add_argument("--picture", type=Path, help="where the picture of --page goes")
    options = parser.parse_args()
    fonts = install_packages("japanese-font-1.0.0", ROOT / "tests/local_cloud/common/japanese_font") / FONT
    PICTURES.mkdir(parents=True, exist_ok=True)
    if options.page:
        open_pages([Page(file=options.page, width=1400, height=1570, screenshot=options.picture)], fonts=[fonts])
        return
    with tempfile.TemporaryDirectory(prefix="makoto-") as scratch:
        write_range(Path(scratch) / "out", TENANTS, DATES, seed=7)
        pages = [_make_page(Path(scratch), "en", dark=False), _make_page(Path(scratch), "ja", dark=True)]
        open_pages(pages, fonts=[fonts])


def _make_page(folder: Path, lang: str, *, dark: bool) -> Page:
    file = folder / f"{lang}.html"
    words = ["report", "--tenant", ",".join(TENANTS), "--from", str(DATES[0]), "--to", str(DATES[-1])]
    words += ["--output", str(folder / "out"), "--lang", lang, "--html", str(file)]
    answer = CliRunner().invoke(app, words)
    if answer.exit_code:
        raise SystemExit(answer.stderr)
    return Page(file=file, dark=dark, width=1180, height=1570, screenshot=PICTURES / f"report-{lang}.png")


if __name__ == "__main__":
    main()

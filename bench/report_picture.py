"""Write the pictures of the report in docs/img from generated days, or a picture of an existing report.

python -m bench.report_picture
python -m bench.report_picture --keep .makoto/pictures    # every language, mode and width
python -m bench.report_picture --page .makoto/endurance/AwsMonth.html --picture docs/img/endurance-test-aws.png
"""

import argparse
import shutil
import tempfile
from contextlib import chdir
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
DESKTOP, PHONE = 1280, 390
# The wide picture ends below the first charts.
HEIGHTS = {DESKTOP: 1690, PHONE: 1470}
# One picture has the phone's views and the dark mode beside each other.
PHONES = (("en", False), ("ja", False), ("en", True))


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path, help="an existing report (default: generated days)")
    parser.add_argument("--picture", type=Path, help="output file for the picture of --page")
    parser.add_argument("--keep", type=Path, help="output folder for the pictures of every language, mode and width")
    options = parser.parse_args()
    fonts = install_packages("japanese-font-1.0.0", ROOT / "tests/local_cloud/common/japanese_font") / FONT
    PICTURES.mkdir(parents=True, exist_ok=True)
    if options.page:
        open_pages([Page(file=options.page, width=1400, height=1570, screenshot=options.picture)], fonts=[fonts])
        return
    with tempfile.TemporaryDirectory(prefix="makoto-") as scratch:
        folder = options.keep.resolve() if options.keep else Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        write_range(Path(scratch) / "tables", TENANTS, DATES, seed=7)
        _take_pictures(Path(scratch), folder, fonts)
        for lang in ("en", "ja"):
            shutil.copy(_name_picture(folder, lang, DESKTOP, dark=False), PICTURES / f"report-{lang}.png")


def _take_pictures(scratch: Path, folder: Path, fonts: Path) -> None:
    """Write a picture for each language, mode and width, and one of the phone's."""
    pages = [
        Page(
            file=file,
            dark=dark,
            width=width,
            height=HEIGHTS[width],
            screenshot=_name_picture(folder, lang, width, dark=dark),
        )
        for lang, file in {lang: _render_report(scratch, lang) for lang in ("en", "ja")}.items()
        for dark in (False, True)
        for width in (DESKTOP, PHONE)
    ]
    open_pages(pages, fonts=[fonts])
    images = [f'<img src="{_name_picture(folder, lang, PHONE, dark=dark).as_uri()}">' for lang, dark in PHONES]
    sheet = scratch / "phones.html"
    sheet.write_text(
        f'<body style="margin:0;display:flex;gap:20px;background:#888">{"".join(images)}', encoding="utf-8"
    )
    width = len(PHONES) * PHONE + 20 * (len(PHONES) - 1)
    open_pages([Page(file=sheet, width=width, height=HEIGHTS[PHONE], screenshot=PICTURES / "report-phone.png")])


def _name_picture(folder: Path, lang: str, width: int, *, dark: bool) -> Path:
    return folder / f"report-{lang}-{width}-{'dark' if dark else 'light'}.png"


def _render_report(folder: Path, lang: str) -> Path:
    file = folder / f"{lang}.html"
    arguments = ["report", "--tenant", ",".join(TENANTS), "--from", str(DATES[0]), "--to", str(DATES[-1])]
    arguments += ["--input", "exports", "--output", "tables", "--lang", lang, "--html", str(file)]
    with chdir(folder):  # the report's commands have short paths
        result = CliRunner().invoke(app, arguments)
    if result.exit_code:
        raise SystemExit(result.stderr)
    return file


if __name__ == "__main__":
    main()

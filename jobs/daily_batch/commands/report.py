"""`makoto-batch report`: a night or a range as a page, as Markdown or as JSON, from the ledger and the receipts."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from daily_batch.cli.console import show_progress
from daily_batch.cli.output import console, guarded, print_json
from daily_batch.cli.tenants import check_known, choose_tenants
from daily_batch.commands.status import choose_days
from daily_batch.domain.calendar import load_zone
from daily_batch.domain.keys import check_tenant
from daily_batch.domain.url import parse_url
from daily_batch.errors import UsageError
from daily_batch.ledger.factory import open_ledger
from daily_batch.reporting.collect import gather_facts
from daily_batch.reporting.facts import Facts, add_up
from daily_batch.reporting.markdown import make_markdown
from daily_batch.reporting.texts import Lang, Texts, load_texts, tell_headline, tell_oddities, tell_troubles
from daily_batch.settings import Settings, load_settings

PAGE = Path("report.html")
MOST_DAYS = 100


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Which days, in which form and language; `check` makes a day that needs someone the exit status 1."""

    first: str | None = None
    last: str | None = None
    all_tenants: bool = False
    html: Path | None = None
    as_json: bool = False
    as_markdown: bool = False
    lang: Lang = "en"
    check: bool = False
    debug: bool = False


def report_command(flags: Mapping[str, object], options: ReportOptions) -> int:
    """Write the report and return the exit status."""

    def report() -> int:
        settings = load_settings(flags=flags, environ=os.environ)
        facts = _gather(settings, options, datetime.now(UTC))
        texts = load_texts(options.lang)
        if options.as_json:
            print_json(to_dict(facts, texts))
        elif options.as_markdown:
            print(make_markdown(facts, texts, zone=settings.timezone), end="")
        page = options.html or (None if options.as_json or options.as_markdown else PAGE)
        if page:
            _write_page(page, facts, texts, zone=settings.timezone)
        if page and not (options.as_json or options.as_markdown):
            console().print(f"{tell_headline(facts, texts)}\n{page}", markup=False, soft_wrap=True)
        return 1 if options.check and facts.in_need else 0

    return guarded(report, debug=options.debug)


def _gather(settings: Settings, options: ReportOptions, now: datetime) -> Facts:
    if options.as_json and options.as_markdown:
        raise UsageError("--json and --markdown both want standard output", next_step="give one of them")
    if not settings.output:
        raise UsageError("no output is named", next_step="give --output, or set MAKOTO_OUTPUT or S3_BUCKET_NAME")
    # Where the metadata store names no tenants, those that have tables are there to be told of.
    settings = choose_tenants(
        replace(settings, input=settings.input or settings.output), all_tenants=options.all_tenants
    )
    dates = choose_days(options.first, options.last, settings, now)
    if len(dates) > MOST_DAYS:
        raise UsageError(f"{len(dates)} days are too many for a report", next_step=f"give at most {MOST_DAYS}")
    output = parse_url(settings.output)
    ledger = open_ledger(settings, output)
    tenants = [check_tenant(tenant) for tenant in settings.tenants]
    if not options.all_tenants:
        check_known(tenants, settings, output, by_days=True)
    with show_progress() as open_progress:
        return gather_facts(
            tenants,
            dates,
            output=output,
            ledger=ledger,
            settings=settings,
            now=now.astimezone(load_zone(settings.timezone)),
            progress=open_progress("report"),
        )


def _write_page(file: Path, facts: Facts, texts: Texts, *, zone: str) -> None:
    try:
        from daily_batch.reporting.html import make_page
    except ImportError as error:
        raise UsageError(
            f"the page needs the package {error.name}, which is not installed",
            next_step="pip install 'makoto-daily-batch[report]', or ask for --json or --markdown",
        ) from error
    text = make_page(facts, texts, zone=zone)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{file} cannot be written ({type(error).__name__})", next_step="give another --html"
        ) from error


def to_dict(facts: Facts, texts: Texts) -> dict[str, object]:
    """The report as plain values: what the page shows, and every tenant-day in full."""
    return {
        "now": facts.now.isoformat(timespec="seconds"),
        "first": facts.dates[0].isoformat(),
        "last": facts.dates[-1].isoformat(),
        "headline": tell_headline(facts, texts),
        "needs_someone": [
            {**asdict(trouble), "first": trouble.first.isoformat(), "last": trouble.last.isoformat()}
            for trouble in tell_troubles(facts, texts)
        ],
        "worth_a_look": [
            {"tenant": day.tenant, "date": day.day.isoformat(), "note": tell_oddities(day, texts)} for day in facts.odd
        ],
        "total": asdict(add_up(facts.days)),
        "by_date": {day.isoformat(): asdict(sums) for day, sums in facts.by_date.items()},
        "strays": [asdict(each) for each in facts.strays],
        "months": [asdict(month) for month in facts.months],
        "days": [{**asdict(day), "day": day.day.isoformat()} for day in facts.days],
    }

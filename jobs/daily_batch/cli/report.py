"""`makoto-batch report`: the days of a range as a page, as Markdown or as JSON, from the ledger and the receipts."""

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daily_batch.cli.options import (
    AllTenantsOption,
    CheckOption,
    ConfOption,
    DebugOption,
    EnvOption,
    FromOption,
    InputOption,
    JsonOption,
    LedgerOption,
    OutputOption,
    TenantOption,
    ToOption,
    as_flags,
    choose_days,
    examples,
    read_environment,
)
from daily_batch.cli.output import console, exit_on_error, print_json
from daily_batch.errors import UsageError
from daily_batch.reporting import Lang

if TYPE_CHECKING:
    from daily_batch.reporting.facts import Facts
    from daily_batch.reporting.texts import Texts
    from daily_batch.settings import Settings

DEFAULT_PAGE = Path("report.html")
MAX_DAYS = 100

app = typer.Typer()


@app.command(
    rich_help_panel="Watch",
    epilog=examples(
        "makoto-batch report --all-tenants --from 2025-08-10 --to 2025-08-12 --output out",
        "makoto-batch report --tenant acme --from 2025-08-12 --to 2025-08-12 --output out --lang ja --html ja.html",
    ),
)
def report(
    tenant: TenantOption = None,
    first: FromOption = None,
    last: ToOption = None,
    input: InputOption = None,  # noqa: A002 - the flag's name
    output: OutputOption = None,
    ledger: LedgerOption = None,
    all_tenants: AllTenantsOption = False,
    html: Annotated[
        Path | None, typer.Option(help="File of the page. Default: report.html, unless --json or --markdown is given.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the report as Markdown.")] = False,
    lang: Annotated[Lang, typer.Option(help="English or Japanese.")] = "en",
    docs_url: Annotated[
        str, typer.Option("--docs-url", help="URL or folder of the documentation, for the links to runbooks.")
    ] = "docs",
    check: CheckOption = False,
    conf: ConfOption = None,
    env: EnvOption = None,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show days as one page: states, failures, volumes, rejects, times, cost; the last seven days by default."""
    from daily_batch.reporting.markdown import make_markdown
    from daily_batch.reporting.texts import load_texts, make_headline
    from daily_batch.settings import load_settings

    flags = as_flags(tenant=tenant, input=input, output=output, ledger=ledger)
    with exit_on_error(debug=debug, json_output=json):
        if json and markdown:
            raise UsageError("--json and --markdown both need standard output", next_step="give one of them")
        settings = load_settings(flags=flags, environ=read_environment(conf, env))
        given = as_flags(input=settings.input or None, output=settings.output, ledger=ledger, conf=conf, env=env)
        facts = _collect(settings, first, last, all_tenants=all_tenants, flags=given, docs=_check_docs(docs_url))
        texts = load_texts(lang)
        if json:
            print_json(_as_value(facts, texts))
        elif markdown:
            print(make_markdown(facts, texts, zone=settings.timezone), end="")
        page = html or (None if json or markdown else DEFAULT_PAGE)
        if page:
            _write_page(page, facts, texts, zone=settings.timezone)
        if page and not (json or markdown):
            console().print(f"{make_headline(facts, texts)}\n{page}", markup=False, soft_wrap=True)
        raise typer.Exit(1 if check and facts.needing_attention else 0)


def _check_docs(url: str) -> str:
    """Return the documentation's place without a slash at its end; it becomes part of links in HTML and Markdown."""
    if not re.fullmatch(r"https?://[\w.-]+(:\d+)?(/[\w./~%@+-]*)?|(file:///)?[\w./~%@+-]+", url):
        raise UsageError("--docs-url is neither a URL nor a folder", next_step="give https://… or a relative path")
    return url.rstrip("/")


def _collect(
    settings: "Settings",
    first: str | None,
    last: str | None,
    *,
    all_tenants: bool,
    flags: Mapping[str, object],
    docs: str,
) -> "Facts":
    from daily_batch.cli.progress import show_progress
    from daily_batch.cli.tenants import check_known, choose_tenants
    from daily_batch.domain.calendar import load_zone
    from daily_batch.domain.keys import check_tenant
    from daily_batch.domain.url import parse_url
    from daily_batch.ledger.factory import open_ledger
    from daily_batch.reporting.collect import collect_facts

    if not settings.output:
        raise UsageError("no output is named", next_step="give --output, or set MAKOTO_OUTPUT or S3_BUCKET_NAME")
    # Where the metadata store names no tenants, the report is about those that have tables.
    settings = choose_tenants(replace(settings, input=settings.input or settings.output), all_tenants=all_tenants)
    now = datetime.now(UTC)
    dates = choose_days(first, last, settings, now)
    if len(dates) > MAX_DAYS:
        raise UsageError(f"{len(dates)} days are too many for a report", next_step=f"give at most {MAX_DAYS}")
    output = parse_url(settings.output)
    ledger = open_ledger(settings, output)
    tenants = [check_tenant(tenant) for tenant in settings.tenants]
    if not all_tenants:
        check_known(tenants, settings, output, by_days=True)
    with show_progress() as open_progress:
        return collect_facts(
            tenants,
            dates,
            output=output,
            ledger=ledger,
            settings=settings,
            now=now.astimezone(load_zone(settings.timezone)),
            progress=open_progress("report"),
            flags={f"--{name}": str(value) for name, value in flags.items() if value is not None},
            docs=docs,
        )


def _write_page(file: Path, facts: "Facts", texts: "Texts", *, zone: str) -> None:
    try:
        from daily_batch.reporting.html import make_page
    except ImportError as error:
        raise UsageError(
            f"the page needs the package {error.name}, which is not installed",
            next_step="pip install 'makoto-daily-batch[report]', or use --json or --markdown",
        ) from error
    text = make_page(facts, texts, zone=zone)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{file} cannot be written ({type(error).__name__})", next_step="give another --html"
        ) from error


def _as_value(facts: "Facts", texts: "Texts") -> dict[str, object]:
    """Return the report as JSON values: what the page shows, and every tenant-day in full."""
    from daily_batch.reporting.facts import add_up
    from daily_batch.reporting.issues import list_issues
    from daily_batch.reporting.texts import describe_warnings, make_headline

    return {
        "now": facts.now.isoformat(timespec="seconds"),
        "first": facts.dates[0].isoformat(),
        "last": facts.dates[-1].isoformat(),
        "headline": make_headline(facts, texts),
        "needs_attention": [
            {**asdict(issue), "first": issue.first.isoformat(), "last": issue.last.isoformat()}
            for issue in list_issues(facts, texts)
        ],
        "warnings": [
            {"tenant": day.tenant, "date": day.day.isoformat(), "note": describe_warnings(day, texts)}
            for day in facts.anomalous
        ],
        "total": asdict(add_up(facts.days)),
        "by_date": {day.isoformat(): asdict(sums) for day, sums in facts.by_date.items()},
        "strays": [asdict(each) for each in facts.strays],
        "months": [asdict(month) for month in facts.months],
        "days": [{**asdict(day), "day": day.day.isoformat()} for day in facts.days],
    }

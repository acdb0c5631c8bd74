"""Print the tables of docs/scale.md: `python -m bench.scale`; --write replaces them in the page."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from bench.costs import TITLES, replace_tables, volume_of
from bench.measure import ROOT
from bench.scale_limits import (
    NO_LIMIT,
    SERVICES,
    Limit,
    count_disk_gb,
    databricks,
    emr,
    find_first,
    find_limits,
    find_size,
)
from daily_batch.domain.run import Layout
from daily_batch.orchestration.routing import load_predictions
from daily_batch.orchestration.routing.costs import JOB_SECONDS
from daily_batch.orchestration.routing.jobs import JobPrediction, count_job_buckets
from daily_batch.orchestration.spark_jobs.emr_request import DRIVER, EXECUTOR
from daily_batch.pipeline.partitioning import count_chunks
from daily_batch.settings import Settings

PAGE = ROOT / "docs" / "scale.md"
BEGIN = "<!-- tables: begin, python -m bench.scale --write -->\n"
SIZES = (10_000_000, 100_000_000, 1_000_000_000)


def main(arguments: list[str] | None = None) -> None:
    """Print the tables, or write them into the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--write", action="store_true", help="into docs/scale.md, between its markers")
    if parser.parse_args(arguments).write:
        page = replace_tables(PAGE.read_text(encoding="utf-8"), render_tables(), begin=BEGIN)
        PAGE.write_text(page, encoding="utf-8")
    else:
        print(render_tables(), end="")


def render_tables() -> str:
    """Return all tables as Markdown."""
    return "".join(f"{line}\n" for line in _render_rows())


def _render_rows() -> Iterator[str]:
    for layout, title in TITLES.items():
        yield f"\n{title.removeprefix('#')}\n"
        yield from _render_head(
            "messages", "where", "workers", "minutes", "USD", "GET", "LIST", "PUT", "tasks", "disk, GB"
        )
        for messages in SIZES:
            yield from _render_day(layout, messages)
    yield "\n## The first limit of each day\n"
    yield from _render_head("messages", "where", "exports", "one object a message")
    for messages in SIZES:
        for service in SERVICES:
            first = (_render_first(find_first(layout, messages, service)) for layout in TITLES)
            yield _render_cells(f"{messages:,}", service, *first)
    yield "\n## All limits, with the messages from which a day meets them\n"
    yield from _render_head("where", "limit", "exports", "objects", "beyond it", "set")
    for limit in find_limits():
        sizes = [find_size(layout, limit) for layout in TITLES]
        if any(sizes):
            texts = map(_format_size, sizes)
            yield _render_cells(limit.service, limit.name, *texts, limit.beyond, limit.step)
    yield "\n## The quota and capacity that keep every executor of a day of exports busy\n"
    yield from _render_head("messages", "executors", "quota, `EmrVcpus`", "`EmrMemory`", "`EmrDisk`", "minutes", "USD")
    for messages in SIZES:
        job = emr(volume_of("export", messages), load_predictions(), vcpus=NO_LIMIT)
        vcpus, memory = _size_application(job)
        capacity = (job.workers, vcpus, memory, count_disk_gb(job))
        yield _render_cells(
            f"{messages:,}", *(f"{each:,}" for each in capacity), _format_minutes(job), _format_price(job)
        )


def _render_day(layout: Layout, messages: int) -> Iterator[str]:
    day, predictions = volume_of(layout, messages), load_predictions()
    jobs = {f"EMR, {Settings.emr_vcpus} vCPUs": emr(day, predictions)}
    free = emr(day, predictions, vcpus=NO_LIMIT)
    if free not in jobs.values():
        jobs[f"EMR, {_size_application(free)[0]} vCPUs"] = free
    jobs["Databricks"] = databricks(day, predictions)
    tasks = count_chunks(day.objects, day.bytes) + count_job_buckets(day)
    for where, job in jobs.items():
        counts = (job.requests.get, job.requests.list, job.requests.put, tasks)
        numbers = (f"{each:,}" for each in counts)
        disk = f"{job.workers} x {job.disk_gb}"
        yield _render_cells(
            f"{messages:,}", where, f"{job.workers}", _format_minutes(job), _format_price(job), *numbers, disk
        )


def _size_application(job: JobPrediction) -> tuple[int, int]:
    """Return the vCPUs and the GB of memory of a job on EMR Serverless."""
    return DRIVER.vcpu + job.workers * EXECUTOR.vcpu, DRIVER.gb + job.workers * EXECUTOR.gb


def _render_head(*columns: str) -> Iterator[str]:
    yield _render_cells(*columns)
    yield f"|{'---|' * len(columns)}"


def _render_cells(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _render_first(limit: Limit | None) -> str:
    if limit is None:
        return "none"
    return f"{limit.name}: **{limit.beyond}**" if limit.stops else limit.name


def _format_minutes(job: JobPrediction) -> str:
    minutes = f"{job.seconds / 60:,.0f}"
    return f"**{minutes}**" if job.seconds > JOB_SECONDS else minutes


def _format_price(job: JobPrediction) -> str:
    return f"{job.node_hours:,.1f} node-hours" if job.usd is None else f"{job.usd:,.2f}"


def _format_size(messages: int | None) -> str:
    """Format a size with two digits, as the predictions are no better."""
    if messages is None:
        return "-"
    for unit, name in ((10**9, "billion"), (10**6, "million"), (10**3, "thousand")):
        if messages >= unit:
            return f"{float(f'{messages / unit:.2g}'):g} {name}"
    return f"{messages}"


if __name__ == "__main__":
    main()

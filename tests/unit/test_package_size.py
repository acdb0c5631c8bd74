"""What a Lambda unpacks must fit into its 250 MB: the wheel's run-time requirements and all that they bring."""

from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import daily_batch

LIMIT = 262_144_000
MARGIN = 15_000_000
PACKAGE = "makoto-daily-batch"
# The runtime brings it.
OF_THE_RUNTIME = {"boto3"}
HEAVY = {"pyspark", "pandas", "pyarrow", "numpy"}


def find_closure(name: str) -> set[str]:
    """Every distribution that an installation of `name` without extras needs here, itself included."""
    found: set[str] = set()
    waiting = [(canonicalize_name(name), frozenset[str]())]
    seen = set(waiting)
    while waiting:
        each, extras = waiting.pop()
        found.add(each)
        for line in metadata.requires(each) or []:
            wanted = Requirement(line)
            marker = wanted.marker
            if marker and not any(marker.evaluate({"extra": extra}) for extra in {"", *extras}):
                continue
            further = (canonicalize_name(wanted.name), frozenset(wanted.extras))
            if further not in seen and further[0] not in OF_THE_RUNTIME:
                seen.add(further)
                waiting.append(further)
    return found


def installed_bytes(name: str) -> int:
    """The size of a distribution's files; of ours, which may be installed as a link, the package's."""
    if name == PACKAGE:
        return sum(path.stat().st_size for path in Path(daily_batch.__file__).parent.rglob("*") if path.is_file())
    paths = [Path(str(file.locate())) for file in metadata.files(name) or []]
    return sum(path.stat().st_size for path in paths if path.is_file())


def test_the_closure_holds_what_a_run_needs_and_nothing_of_spark_or_pandas() -> None:
    closure = find_closure(PACKAGE)
    assert {"duckdb", "deltalake", "obstore", "arro3-core"} <= closure
    assert not closure & HEAVY


def test_everything_unpacked_fits_into_a_function() -> None:
    sizes = {name: installed_bytes(name) for name in find_closure(PACKAGE)}
    total = sum(sizes.values())
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:6]
    assert min(sizes[name] for name in ("duckdb", "deltalake", "obstore")) > 5_000_000, "their files were not found"
    assert total <= LIMIT - MARGIN, f"{total:,} bytes; largest: " + ", ".join(f"{n} {s:,}" for n, s in largest)

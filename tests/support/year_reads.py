"""Read a year's tables in a process of its own: all of their `state`, or one digest of `others`, or many (`watch`).

Not in the process that serves the tables: native code that holds Python's lock while it waits would wait for ever.
"""

import json
import re
import sys
import threading

import duckdb
from deltalake import DeltaTable

from daily_batch.domain.contract import MESSAGES, TABLES
from tests.support.counting_s3 import NAME, READER
from tests.support.maintenance_year import PERSON
from tests.support.s3_bucket import Bucket


def open_table(endpoint: str, table: str) -> DeltaTable:
    options = {**Bucket(endpoint, NAME).reader_options, "user_agent": READER}
    return DeltaTable(f"s3://{NAME}/acme/analytics/{table}", storage_options=options)


def digest(delta: DeltaTable, *, where: str = "true") -> tuple[int, int]:
    """Return the number of rows and the sum of their hashes, over all columns."""
    rows = delta.to_pyarrow_dataset()
    columns = ", ".join(sorted(f'"{name}"' for name in rows.schema.names))
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        db.register("rows", rows)
        query = f"SELECT count(*), coalesce(sum(hash(({columns}))::HUGEINT), 0) FROM rows WHERE {where}"
        ((count, total),) = db.execute(query).fetchall()
    return int(count), int(total)


def read_others(endpoint: str) -> tuple[int, int]:
    """Return the digest of the messages of all users but the person."""
    return digest(open_table(endpoint, MESSAGES.name), where=f"user_id != '{PERSON}'")


def read_state(endpoint: str) -> dict[str, tuple[tuple[int, int], list[str]]]:
    """Return each table's digest and the paths of its live files."""
    state = {}
    for table in TABLES:
        delta = open_table(endpoint, table.name)
        paths = [re.sub(r".*/(?=date=)", "", uri) for uri in delta.file_uris()]
        state[table.name] = (digest(delta), paths)
    return state


def _wait_for_end(done: threading.Event) -> None:
    """Set the event when standard input ends."""
    sys.stdin.read()
    done.set()


def main(endpoint: str, what: str) -> None:
    if not what.startswith("watch"):
        print(json.dumps(read_state(endpoint) if what == "state" else read_others(endpoint)))
        return
    done = threading.Event()
    threading.Thread(target=_wait_for_end, args=[done], daemon=True).start()
    complete = 0
    while not (done.wait(3.0 if complete else 0.0) and complete):
        try:
            print(json.dumps(read_others(endpoint)), flush=True)
            complete += 1
        except duckdb.Error as error:
            # An erasure deletes the files of the version that is being read.
            if what == "watch an erasure" and "NoSuchKey" in str(error):
                continue
            raise


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A database that several threads share."""

from pathlib import Path
from threading import Event, Thread

import duckdb
import pytest

from daily_batch.pipeline.transform.duckdb_session import cursor, shared_database
from tests.support.run_specs import sample_spec


def test_an_interrupt_is_not_hidden_by_a_query_that_still_runs(tmp_path: Path) -> None:
    started, finish = Event(), Event()

    def wait(number: int) -> int:
        started.set()
        finish.wait()
        return number

    with pytest.raises(KeyboardInterrupt), shared_database(scratch=tmp_path, spec=sample_spec(), tasks=2) as database:
        connection = cursor(database)
        connection.create_function("wait", wait, ["BIGINT"], "BIGINT")
        thread = Thread(target=connection.execute, args=("SELECT wait(range) FROM range(1)",))
        thread.start()
        assert started.wait(60)
        raise KeyboardInterrupt
    finish.set()
    thread.join()


def test_a_database_is_closed_after_use(tmp_path: Path) -> None:
    with shared_database(scratch=tmp_path, spec=sample_spec(), tasks=1) as database:
        database.execute("SELECT 1")
    with pytest.raises(duckdb.ConnectionException):
        database.execute("SELECT 1")

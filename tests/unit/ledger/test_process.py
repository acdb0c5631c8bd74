"""Names of processes: unique, stable, and dead only if the process provably is."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from daily_batch.ledger.process import CLOCK_SECONDS, current_process, is_dead

PROGRAM = """
import sys
from daily_batch.ledger.process import current_process
print(current_process(), flush=True)
sys.stdin.read()
"""
WAIT_SECONDS = 30


@pytest.fixture
def child() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a process that lives until its input ends; yield it with its name."""
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
        process.kill()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.01)


def test_current_process_is_alive_and_has_one_name():
    assert current_process() == current_process()
    assert not is_dead(current_process())


def test_threads_of_a_process_have_one_name():
    names: list[str] = []
    thread = threading.Thread(target=lambda: names.append(current_process()))
    thread.start()
    thread.join()
    assert names == [current_process()]


def test_another_process_has_another_name_on_the_same_host(child):
    _, owner = child
    assert owner != current_process()
    assert owner.split(":")[0] == current_process().split(":")[0]


def test_child_is_alive_until_it_is_killed(child):
    process, owner = child
    assert not is_dead(owner)
    process.kill()
    process.wait()
    assert is_dead(owner)


def test_killed_child_that_is_not_reaped_is_dead(child):
    process, owner = child
    process.kill()
    wait_for(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
    assert is_dead(owner)


def test_child_that_exited_is_dead(child):
    process, owner = child
    process.communicate()
    assert process.returncode == 0
    assert is_dead(owner)


def test_stopped_child_is_not_dead(child):
    process, owner = child
    process.send_signal(signal.SIGSTOP)
    try:
        wait_for(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
        assert not is_dead(owner)
    finally:
        process.send_signal(signal.SIGCONT)


def test_process_of_another_host_is_never_dead(child):
    process, owner = child
    process.kill()
    process.wait()
    _, pid, started = owner.split(":")
    assert is_dead(owner)
    assert not is_dead(f"elsewhere:{pid}:{started}")


def test_process_whose_id_was_reused_is_dead():
    host, pid, started = current_process().split(":")
    # Start times count from the boot, which may be minutes ago.
    assert is_dead(f"{host}:{pid}:{int(started) - 1 - CLOCK_SECONDS}")
    assert is_dead(f"{host}:{pid}:{int(started) + 3600}")


@pytest.mark.parametrize("seconds", [-1, 1])
def test_clock_change_of_a_second_does_not_make_a_process_dead(seconds):
    host, pid, started = current_process().split(":")
    assert not is_dead(f"{host}:{pid}:{int(started) + seconds}")


@pytest.mark.parametrize(
    "owner", ["", "None", "{host}", "{host}:", "{host}:{pid}", "{host}:{pid}:", "{host}:x:1", "{host}:1:x"]
)
def test_owner_that_is_not_a_process_is_not_dead(owner):
    host, pid, _ = current_process().split(":")
    assert not is_dead(owner.format(host=host, pid=pid))


def test_process_that_cannot_be_inspected_is_not_dead(monkeypatch):
    def deny(pid: int) -> psutil.Process:
        raise psutil.AccessDenied(pid)

    owner = current_process()
    monkeypatch.setattr(psutil, "Process", deny)
    assert not is_dead(owner)


def test_host_name_with_separators_is_escaped():
    host, pid, started = current_process().split(":")
    assert host
    assert int(pid) == os.getpid()
    assert int(started) > 0

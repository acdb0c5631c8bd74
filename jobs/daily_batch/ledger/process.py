"""Which process holds a lease, and whether it is known to be dead: a run that was killed need not be waited for."""

import getpass
import os
import socket
from functools import cache
from hashlib import sha256
from pathlib import Path

import psutil

# Starts of one process may differ so far where they are told by a clock that was set; an id is not used again so soon.
CLOCK_SECONDS = 10


def this_process() -> str:
    """`host:pid:started`, where the host stands for one machine, booted once, and one space of process ids."""
    return f"{_host()}:{os.getpid()}:{_started(psutil.Process())}"


def this_person() -> str:
    """This machine's user, who may have a number alone."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def is_dead(owner: str) -> bool:
    """Whether the owner was a process of this host that is no more; of another host nothing is known."""
    host, _, process = owner.partition(":")
    pid, _, started = process.partition(":")
    if host != _host() or not (pid.isdigit() and started.isdigit()):
        return False
    try:
        return abs(_started(psutil.Process(int(pid))) - int(started)) > CLOCK_SECONDS
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


def _started(process: psutil.Process) -> int:
    if process.status() == psutil.STATUS_ZOMBIE:
        raise psutil.NoSuchProcess(process.pid)  # ended, and waits to be asked how
    # On Linux psutil adds the machine's start, which moves when the clock is set; what it counts from there does not.
    return int(process.create_time() - (psutil.boot_time() if psutil.LINUX else 0))


@cache
def _host() -> str:
    name = socket.gethostname().replace(":", "-")
    boot = Path("/proc/sys/kernel/random/boot_id")
    if not boot.exists():
        return name
    # Containers may share a name, and a boot, but not their process ids.
    space = f"{boot.read_text().strip()}/{Path('/proc/self/ns/pid').readlink()}"
    return f"{name}-{sha256(space.encode()).hexdigest()[:8]}"

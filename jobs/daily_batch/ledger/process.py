"""Identify the process that holds a lease, and whether it is dead, so that no run waits for one that was killed."""

import getpass
import os
import socket
from functools import cache
from hashlib import sha256
from pathlib import Path

import psutil

# Start times of one process may differ by this much if the clock was set; a process id is not reused that soon.
CLOCK_SECONDS = 10


def current_process() -> str:
    """Return `host:pid:started`; the host identifies one machine, one boot and one namespace of process ids."""
    return f"{_host()}:{os.getpid()}:{_started(psutil.Process())}"


def current_user() -> str:
    """Return the name of the current user, or the number of a user without a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def is_dead(owner: str) -> bool:
    """Return whether the owner was a process of this host that has ended; False for other hosts."""
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
        raise psutil.NoSuchProcess(process.pid)  # ended, not reaped yet
    # On Linux psutil adds the boot time, which moves when the clock is set; the time since boot does not.
    return int(process.create_time() - (psutil.boot_time() if psutil.LINUX else 0))


@cache
def _host() -> str:
    name = socket.gethostname().replace(":", "-")
    boot = Path("/proc/sys/kernel/random/boot_id")
    if not boot.exists():
        return name
    # Containers may share a host name and a boot, but not their process ids.
    namespace = f"{boot.read_text().strip()}/{Path('/proc/self/ns/pid').readlink()}"
    return f"{name}-{sha256(namespace.encode()).hexdigest()[:8]}"

"""Inject faults into the processes of a Spark job.

The package that the tests ship includes this module and imports it at each start of Python. It acts where the variable
CLUSTER_FAULTS names a folder: `plan.json` holds a fault for each tenant, and `{tenant}.struck` says that it struck,
when, and which processes it hit. A fault strikes once.
"""

import importlib.util
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import wraps
from importlib.machinery import ModuleSpec
from itertools import count
from pathlib import Path
from threading import Lock, Thread
from typing import Any

FOLDER = Path(os.environ["CLUSTER_FAULTS"])
EXECUTOR = "CoarseGrainedExecutorBackend"
WAIT_SECONDS = 300.0
# The tasks of each point.
TASKS = {"map": "map_chunks", "reduce": "reduce_buckets", "merge": "merge_parts", "recover": "recover_chunks"}
MERGES = 3
OUTLIVE = "outlive the idle executors"


class Fault:
    """The fault of a tenant: `action` at the `nth` moment of a `point`, for tasks in a `partition`."""

    def __init__(self, tenant: str, plan: dict[str, Any]) -> None:
        self.tenant = tenant
        self.point, self.action = str(plan["point"]), str(plan["action"])
        self.partition, self.nth = int(plan["partition"]), int(plan["nth"])
        self.seconds, self.executors = float(plan["seconds"]), int(plan["executors"])

    def strike(self) -> None:
        """Do harm, unless it is done already."""
        try:
            marker = (FOLDER / f"{self.tenant}.struck").open("x")
        except FileExistsError:
            return
        at = time.time()
        targets = ACTIONS[self.action](self)
        hit = {pid: name for pid, name in targets if pid > 0}
        with marker:
            json.dump({"hit": hit, "executors": sorted(filter(None, hit.values())), "at": at}, marker)
        for pid in hit:
            os.kill(pid, SIGNALS.get(self.action, signal.SIGKILL))
        time.sleep(self.seconds)


def read_fault(tenant: str) -> Fault | None:
    plan = json.loads((FOLDER / "plan.json").read_text()).get(tenant)
    return Fault(tenant, plan) if plan else None


# The targets of an action: the id of each process, and the id of the executor whose JVM it is.
Targets = list[tuple[int, str]]


def _own_executor(_: Fault) -> Targets:
    jvm = _own_jvm()
    return [(jvm.pid, _executor_id(jvm))]


def _other_executors(_: Fault) -> Targets:
    own = _own_jvm()
    words = own.cmdline()
    app = words[words.index("--app-id") + 1]
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if others := [(pid, name) for pid, name in _executors(app) if pid != own.pid]:
            return others
        time.sleep(0.05)
    raise TimeoutError("there is no other executor")


def _outlive(fault: Fault) -> Targets:
    """Wait until `_remove_idle_executors` has removed the other executors, which have run all other tasks."""
    import psutil

    others = _other_executors(fault)
    deadline = time.monotonic() + WAIT_SECONDS
    while any(psutil.pid_exists(pid) for pid, _ in others):
        if time.monotonic() > deadline:
            raise TimeoutError("the other executors did not end")
        time.sleep(0.05)
    return []


def _all_executors(_: Fault) -> Targets:
    from pyspark import SparkContext

    return _executors(SparkContext._active_spark_context.applicationId)  # type: ignore[union-attr]


def _machine(fault: Fault) -> Targets:
    """Return the executor and the process that started it, which would start another."""
    import psutil

    own = _own_executor(fault)
    return [(psutil.Process(own[0][0]).ppid(), ""), *own]


def _worker(fault: Fault) -> Targets:
    return _machine(fault)[:1]


def _driver(_: Fault) -> Targets:
    """Return the driver's processes, this one last if it is one of them."""
    import psutil

    group = int((FOLDER / "driver").read_text())
    found = [each.pid for each in psutil.process_iter() if _group(each.pid) == group]
    return [(pid, "") for pid in sorted(found, key=lambda pid: pid == os.getpid())]


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def _limit_memory(fault: Fault) -> Targets:
    """Permit no more memory than there is, so an allocation in the product's own code fails."""
    import psutil

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms, hard))
    return []


def _meet(fault: Fault) -> Targets:
    """Wait until two drivers have reached this point; each has a plan of its own and the folder's parent in common."""
    (FOLDER.parent / f"{FOLDER.name}.met").touch()
    deadline = time.monotonic() + WAIT_SECONDS
    while len(list(FOLDER.parent.glob("*.met"))) < 2:
        if time.monotonic() > deadline:
            raise TimeoutError("the other driver did not come to this point")
        time.sleep(0.01)
    return []


ACTIONS: dict[str, Callable[[Fault], Targets]] = {
    "kill the executor": _own_executor,
    "kill the other executors": _other_executors,
    "kill all executors": _all_executors,
    "kill the machine": _machine,
    "kill the driver": _driver,
    "kill Python": lambda _: [(os.getpid(), "")],
    "limit memory": _limit_memory,
    "decommission the executor": _own_executor,
    "decommission the worker": _worker,
    "wait": lambda _: [],
    OUTLIVE: _outlive,
    "meet": _meet,
}
SIGNALS = {name: signal.SIGPWR for name in ACTIONS if name.startswith("decommission")}


def _own_jvm() -> Any:
    """Return this Python worker's executor: a worker is a child of its daemon, which is a child of the JVM."""
    import psutil

    jvm = psutil.Process(os.getppid()).parent()
    assert _executor_id(jvm), "the daemon's parent is no executor"
    return jvm


def _executors(app: str) -> Targets:
    import psutil

    found = []
    for process in psutil.process_iter():
        if (name := _executor_id(process)) and app in process.cmdline():
            found.append((process.pid, name))
    return found


def _executor_id(process: Any) -> str:
    import psutil

    try:
        words = process.cmdline()
    except psutil.Error:
        return ""
    if not any(word.endswith(EXECUTOR) for word in words):
        return ""
    return str(words[words.index("--executor-id") + 1])


def in_tasks(module: Any) -> None:
    for point, name in TASKS.items():
        setattr(module, name, _faulty(getattr(module, name), point))


def _faulty(task: Callable[..., Iterator[Any]], point: str) -> Callable[..., Iterator[Any]]:
    @wraps(task)
    def run(batches: Iterator[Any], *, spec: Any, storage: Any) -> Iterator[Any]:
        from pyspark import TaskContext

        output = task(batches, spec=spec, storage=storage)
        fault = read_fault(spec.tenant)
        context = TaskContext.get()
        if not fault or fault.point != point or context is None or context.partitionId() != fault.partition:
            yield from output
            return
        limits = resource.getrlimit(resource.RLIMIT_AS)
        try:
            for _ in range(fault.nth):
                if (blob := next(output, None)) is not None:
                    yield blob
            fault.strike()
            yield from output
        finally:
            resource.setrlimit(resource.RLIMIT_AS, limits)

    return run


def in_discovery(module: Any) -> None:
    module.CHUNK_OBJECTS = 1  # a small day then has as many map tasks as files


def in_runner(module: Any) -> None:
    (FOLDER / "driver").write_text(str(os.getpgid(0)))
    run, count_merges = module.SparkRunner.run, module.count_merges

    def run_with_all_executors(self: Any, *arguments: Any, spec: Any, **named: Any) -> Any:
        module.count_merges = count_merges
        if fault := read_fault(spec.tenant):
            _await_executors(lambda number: number >= fault.executors)
            if fault.action == OUTLIVE:
                Thread(target=_remove_idle_executors, args=(fault,), daemon=True).start()
            if fault.point == "merge":  # as for a day of many messages
                module.count_merges = lambda _: MERGES
        return run(self, *arguments, spec=spec, **named)

    module.SparkRunner.run = run_with_all_executors


def _await_executors(enough: Callable[[int], bool]) -> None:
    from pyspark import SparkContext

    context: Any = SparkContext._active_spark_context
    if context is None:  # a client of Spark Connect
        return
    deadline = time.monotonic() + WAIT_SECONDS
    while not enough(context._jsc.sc().getExecutorMemoryStatus().size() - 1):
        if time.monotonic() > deadline:
            raise TimeoutError("the executors did not come, or did not go")
        time.sleep(0.02)


def _remove_idle_executors(fault: Fault) -> None:
    """Remove all executors without a task once the fault's task is the last of its stage.

    Dynamic allocation calls the same method of the scheduler, but only between two jobs if there is map output: a
    moment that is over in milliseconds.
    """
    from pyspark import SparkContext

    context: Any = SparkContext._active_spark_context
    while not (FOLDER / f"{fault.tenant}.struck").exists() or not _is_last_task(context.statusTracker()):
        time.sleep(0.02)
    scheduler = context._jsc.sc().schedulerBackend()
    scheduler.killExecutors(scheduler.getExecutorIds(), False, False, False)


def _is_last_task(status: Any) -> bool:
    stages = [status.getStageInfo(stage) for stage in status.getActiveStageIds()]
    return [stage.numTasks - stage.numCompletedTasks for stage in stages if stage] == [1]


def in_publisher(module: Any) -> None:
    publish, publish_table = module.DayPublisher.publish, module.DayPublisher._publish
    calls, lock = count(), Lock()

    def publish_after_fault(self: Any, *arguments: Any, **named: Any) -> Any:
        fault = read_fault(self.request.tenant)
        if fault and fault.point == "publish":
            fault.strike()
            if fault.action == "kill all executors":
                _await_executors(lambda number: number < fault.executors)
        return publish(self, *arguments, **named)

    def publish_table_with_fault(self: Any, *arguments: Any, **named: Any) -> Any:
        fault = read_fault(self.request.tenant)
        if not fault or fault.point != "commit":
            return publish_table(self, *arguments, **named)
        # The moments are before and after each commit; commits of one step may go side by side.
        with lock:
            if next(calls) == fault.nth:
                fault.strike()
            result = publish_table(self, *arguments, **named)
            if next(calls) == fault.nth:
                fault.strike()
            return result

    module.DayPublisher.publish, module.DayPublisher._publish = publish_after_fault, publish_table_with_fault


class _AfterImport:
    """Changes modules when they have been imported."""

    def __init__(self) -> None:
        self._changes: dict[str, Callable[[Any], None]] = {
            "daily_batch.pipeline.runners.spark_tasks": in_tasks,
            "daily_batch.pipeline.runners.spark": in_runner,
            "daily_batch.pipeline.discover.discover": in_discovery,
            "daily_batch.pipeline.publish.publisher": in_publisher,
        }

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        change = self._changes.pop(name, None)
        spec = importlib.util.find_spec(name) if change else None
        if change is None or spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_change(module: Any) -> None:
            execute(module)
            change(module)

        spec.loader.exec_module = execute_and_change  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, _AfterImport())

"""Temporary folders: those of active runs stay, those of dead runs are removed, and nothing else is touched."""

import ast
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from daily_batch.storage import scratch
from daily_batch.storage.scratch import (
    FILES,
    LOCAL_DIRS,
    LOCK,
    PREFIX,
    RetainedFolder,
    executor_folder,
    folder_within,
    remove_abandoned,
    temporary_folder,
)
from tests.support.day_runs import DAY, ROOT, child_environment
from tests.support.temporary_folders import leave_behind, other_run

PRODUCT = ("jobs", "lambda_trigger", "azure_trigger")
STRANGER = 12_345


@pytest.fixture
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def make_leftover(temp: Path, name: str = "x") -> Path:
    folder = temp / f"{PREFIX}{name}"
    (folder / FILES).mkdir(parents=True)
    (folder / FILES / "messages").write_text("of a person")
    (folder / LOCK).touch()
    return folder


def test_folder_is_empty_and_removed_when_its_run_ends_or_fails(temp: Path) -> None:
    with pytest.raises(KeyError), temporary_folder() as folder:
        assert list(folder.iterdir()) == []
        (folder / "messages").touch()
        raise KeyError
    assert list(temp.iterdir()) == []


def test_folder_of_another_run_stays_until_that_run_is_killed(temp: Path) -> None:
    with other_run(temp) as run, other_run(temp) as second:
        assert remove_abandoned() == [
            RetainedFolder(each, "a run is using it") for each in sorted([run.folder, second.folder])
        ]
        run.kill()
        with temporary_folder():
            assert not run.folder.exists()
            assert (second.files / "messages").read_text() == "of a person"
        second.end()
    assert list(temp.iterdir()) == []


def test_folder_of_the_same_process_stays_while_it_is_in_use(temp: Path) -> None:
    with temporary_folder() as first:
        (first / "manifest").touch()
        with temporary_folder() as second:
            assert second != first
        remove_abandoned()
        assert (first / "manifest").exists()


def test_concurrent_processes_never_remove_each_others_folders(temp: Path) -> None:
    for number in range(20):
        make_leftover(temp, str(number))
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert pool.starmap(_work, [(str(temp), number) for number in range(8)]) == [True] * 8
    assert list(temp.iterdir()) == []


def _work(temp: str, number: int) -> bool:
    import tempfile

    tempfile.tempdir = temp
    for turn in range(25):
        with temporary_folder() as folder:
            (folder / "mine").write_text(f"{number} {turn}")
            remove_abandoned()
            if (folder / "mine").read_text() != f"{number} {turn}":
                return False
    return True


def test_folder_that_is_removed_before_its_lock_is_created_again(temp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try_lock, removed = scratch._try_lock, list[Path]()

    def remove_then_lock(lock: int, *, unsupported: bool) -> bool:
        """Let another process remove the folder between the creation of the lock file and the lock."""
        if not removed:
            (folder,) = temp.iterdir()
            removed.append(folder)
            shutil.rmtree(folder)
        return try_lock(lock, unsupported=unsupported)

    monkeypatch.setattr(scratch, "_try_lock", remove_then_lock)
    with temporary_folder() as folder:
        assert folder.parent not in removed
        assert folder.is_dir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's folder")
def test_another_users_folder_stays(temp: Path) -> None:
    folder = make_leftover(temp)
    os.chown(folder, STRANGER, STRANGER)
    assert remove_abandoned() == [RetainedFolder(folder, "it is another user's")]
    assert (folder / FILES / "messages").exists()


@pytest.mark.parametrize("unreadable", [f"{PREFIX}x", "."])
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_unreadable_folder_does_not_fail_a_run(unreadable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run as another user than root, to whom permissions apply; below /tmp, because pytest's folders belong to root."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        temp = Path(name)
        monkeypatch.setattr("tempfile.tempdir", name)
        leftover = make_leftover(temp)
        for path in (temp, *temp.rglob("*")):
            os.chown(path, STRANGER, STRANGER)
        (temp / unreadable).chmod(0)
        os.seteuid(STRANGER)
        try:
            retained = remove_abandoned()
        finally:
            os.seteuid(0)
        # If the root folder cannot be listed, no folder is found.
        assert retained == (
            [] if unreadable == "." else [RetainedFolder(leftover, "it cannot be opened (PermissionError)")]
        )
        assert (leftover / FILES / "messages").exists()


def test_links_are_not_followed(temp: Path, tmp_path: Path) -> None:
    outside = tmp_path / "treasure"
    make_leftover(outside)
    target = outside / f"{PREFIX}x"
    (temp / f"{PREFIX}folder").symlink_to(target, target_is_directory=True)
    within = make_leftover(temp, "within")
    (within / FILES / "link").symlink_to(target, target_is_directory=True)
    files = temp / f"{PREFIX}files"
    files.mkdir()
    (files / LOCK).touch()
    (files / FILES).symlink_to(target / FILES, target_is_directory=True)
    lock = make_leftover(temp, "lock")
    (lock / LOCK).unlink()
    (lock / LOCK).symlink_to(target / LOCK)
    remove_abandoned()
    assert (target / FILES / "messages").read_text() == "of a person"
    assert not within.exists()
    assert (lock / FILES / "messages").exists()


# An executor's folder of blocks: with a local master or in a container, and below a standalone worker's folder.
BLOCKS = ("blockmgr-1", "spark-1/executor-1/blockmgr-1")


@pytest.mark.parametrize("blocks", BLOCKS)
def test_task_has_its_folder_in_its_executors_local_folder(temp: Path, tmp_path: Path, blocks: str) -> None:
    disk = tmp_path / "disk" / blocks
    disk.mkdir(parents=True)
    (temp / "file").touch()
    # A disk that failed, and a path that is no folder, are passed over.
    parent = executor_folder({LOCAL_DIRS: f"{temp / 'gone'},{disk},{temp / 'file'}"})
    assert parent == disk
    with temporary_folder(parent) as folder:
        assert folder.parent.parent == disk
        assert list(temp.iterdir()) == [temp / "file"]
    assert list(disk.iterdir()) == []
    assert executor_folder({LOCAL_DIRS: str(temp / "gone")}) is None
    assert executor_folder({}) is None


@pytest.mark.parametrize("blocks", BLOCKS)
def test_folders_of_killed_executors_are_removed_by_the_next_run_on_their_machine(
    temp: Path, tmp_path: Path, blocks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"
    own = disk / blocks.replace("-1", "-2")
    own.mkdir(parents=True)
    with other_run(disk / blocks) as alive:
        leftovers = [leave_behind(temp / blocks), leave_behind(disk / blocks)]
        assert remove_abandoned() == []  # this process knows the system's folder only
        assert [each.exists() for each in leftovers] == [False, True]
        monkeypatch.setenv(LOCAL_DIRS, str(own))
        assert remove_abandoned() == [RetainedFolder(alive.folder, "a run is using it")]
        assert not leftovers[1].exists()
        assert (alive.files / "messages").exists()


def test_links_among_sparks_folders_are_not_followed(temp: Path, tmp_path: Path) -> None:
    leftover = leave_behind(tmp_path / "elsewhere/blockmgr-1")
    (temp / "blockmgr-1").symlink_to(tmp_path / "elsewhere/blockmgr-1", target_is_directory=True)
    (temp / "spark-1").mkdir()
    (temp / "spark-1/executor-1").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert remove_abandoned() == []
    assert leftover.exists()


def lock_is_missing(folder: Path) -> None:
    (folder / LOCK).unlink()


def lock_is_a_folder(folder: Path) -> None:
    (folder / LOCK).unlink()
    (folder / LOCK).mkdir()


def lock_is_a_pipe(folder: Path) -> None:
    (folder / LOCK).unlink()
    os.mkfifo(folder / LOCK)


def name_is_another(folder: Path) -> None:
    folder.rename(folder.with_name("makoto-out"))


@pytest.mark.parametrize("damage", [lock_is_missing, lock_is_a_folder, lock_is_a_pipe, name_is_another])
def test_folder_not_provably_of_a_run_is_retained(temp: Path, damage: Callable[[Path], None]) -> None:
    damage(make_leftover(temp))
    before = sorted(temp.rglob("*"))
    remove_abandoned()
    assert sorted(temp.rglob("*")) == before


def test_without_file_locks_runs_work_and_nothing_is_removed(temp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    leftover = make_leftover(temp)
    with temporary_folder() as folder:
        assert folder.is_dir()
    assert list(temp.iterdir()) == [leftover]


def test_next_run_removes_files_written_after_a_run_ended(temp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remove = shutil.rmtree

    def remove_and_recreate(path: Path, **more: bool) -> None:
        remove(path, **more)
        Path(path).mkdir()
        (Path(path) / "late").touch()

    monkeypatch.setattr(shutil, "rmtree", remove_and_recreate)
    with temporary_folder():
        pass
    (leftover,) = temp.iterdir()
    monkeypatch.undo()
    monkeypatch.setattr("tempfile.tempdir", str(temp))
    remove_abandoned()
    assert not leftover.exists()


def test_subfolder_is_removed_before_the_runs_folder(temp: Path) -> None:
    with temporary_folder() as outer:
        with folder_within(outer) as inner:
            assert inner.parent == outer
        assert not inner.exists()


def test_each_thread_has_its_own_folder(temp: Path) -> None:
    folders, barrier = set[Path](), threading.Barrier(4)

    def work() -> None:
        with temporary_folder() as folder:
            folders.add(folder)
            barrier.wait(30)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(folders) == 4
    assert list(temp.iterdir()) == []


@pytest.mark.parametrize(
    "command", [["run"], ["plan"], ["backfill", "--from", DAY.isoformat(), "--to", DAY.isoformat()]]
)
def test_command_removes_the_folders_of_killed_runs_only(command: list[str], tmp_path: Path) -> None:
    temp = tmp_path / "temp"
    leftover = leave_behind(temp)
    with other_run(temp) as active:
        arguments = [*command, "--tenant", "acme", "--input", str(ROOT / "samples"), "--output", str(tmp_path / "out")]
        if command[0] != "backfill":
            arguments += ["--date", DAY.isoformat()]
        process = subprocess.run(
            [sys.executable, "-m", "daily_batch", *arguments],
            env=child_environment(TMPDIR=str(temp)),
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stderr
        assert not leftover.exists()
        assert (active.files / "messages").exists()
        assert list(temp.iterdir()) == [active.folder]


def test_temporary_files_are_created_in_one_module_only() -> None:
    users = set[str]()
    for file in (path for folder in PRODUCT for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [each.name for each in node.names] if isinstance(node, ast.Import) else []
            if "tempfile" in names:
                users.add(str(file.relative_to(ROOT)))
    assert users == {"jobs/daily_batch/storage/scratch.py"}

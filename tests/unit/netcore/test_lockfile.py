"""Locks in the file system. What other processes hold is played by links to their numbers; real ones: integration."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from netcore import lockfile
from netcore.defer import AlreadyTryingToLockError, CancelledError, Deferred, DeferredFilesystemLock, TimeoutError
from netcore.failure import Failure
from netcore.lockfile import FilesystemLock, isLocked
from netcore.task import Clock

DEAD, SOMEBODY = 424241, 424242


def outcome_of(d: Deferred[Any]) -> Any:
    """What *d* has now, a Failure as its exception."""
    seen: list[Any] = []
    d.addBoth(seen.append)
    assert seen, "the Deferred has no result"
    return seen[0].value if isinstance(seen[0], Failure) else seen[0]


@pytest.fixture
def name(tmp_path: Path) -> str:
    return str(tmp_path / "lock")


@pytest.fixture(autouse=True)
def processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """DEAD has ended, SOMEBODY is another user's process."""
    kill = os.kill

    def asks(pid: int, number: int) -> None:
        assert number == 0
        if pid == DEAD:
            raise ProcessLookupError
        if pid == SOMEBODY:
            raise PermissionError
        kill(pid, number)

    monkeypatch.setattr(lockfile.os, "kill", asks)


class TestFilesystemLock:
    def test_it_is_a_link_to_the_number_of_the_process(self, name: str) -> None:
        lock = FilesystemLock(name)
        assert (lock.locked, lock.clean) == (False, None)
        assert lock.lock()
        assert (lock.locked, lock.clean) == (True, True)
        assert os.readlink(name) == str(os.getpid())
        assert isLocked(name)
        lock.unlock()
        assert not lock.locked
        assert not isLocked(name)
        assert not os.path.lexists(name)

    def test_held_by_one_that_lives_it_is_not_to_be_had(self, name: str) -> None:
        first, second = FilesystemLock(name), FilesystemLock(name)
        assert first.lock()
        assert not second.lock()
        assert not second.locked
        first.unlock()
        assert second.lock()

    def test_another_users_process_lives(self, name: str) -> None:
        os.symlink(str(SOMEBODY), name)
        assert isLocked(name)
        assert not FilesystemLock(name).lock()

    def test_that_of_a_dead_process_is_taken_over(self, name: str, tmp_path: Path) -> None:
        os.symlink(str(DEAD), name)
        assert not isLocked(name)
        assert os.readlink(name) == str(DEAD)
        lock = FilesystemLock(name)
        assert lock.lock()
        assert (lock.locked, lock.clean) == (True, False)
        assert os.listdir(tmp_path) == ["lock"]
        lock.unlock()
        assert lock.lock()
        assert lock.clean

    def test_a_guard_left_by_a_crash_is_in_nobodys_way(self, name: str, tmp_path: Path) -> None:
        os.symlink(str(DEAD), name)
        Path(f"{name}.takeover").touch()
        assert FilesystemLock(name).lock()
        assert os.listdir(tmp_path) == ["lock"]

    def test_while_another_takes_it_over_it_is_not_to_be_had(self, name: str) -> None:
        os.symlink(str(DEAD), name)
        with lockfile._guard(f"{name}.takeover") as alone:
            assert alone
            assert not FilesystemLock(name).lock()
            assert os.readlink(name) == str(DEAD)
        assert FilesystemLock(name).lock()

    def test_who_comes_late_to_a_stale_lock_takes_nothing_away(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Both find it stale; the other is through with it before this one gets the guard."""
        os.symlink(str(DEAD), name)
        guard = lockfile._guard

        def others_first(path: str) -> Any:
            monkeypatch.setattr(lockfile, "_guard", guard)
            assert other.lock()
            return guard(path)

        other = FilesystemLock(name)
        monkeypatch.setattr(lockfile, "_guard", others_first)
        assert not FilesystemLock(name).lock()
        assert other.locked
        assert isLocked(name)

    def test_who_opened_a_guard_that_has_gone_is_not_alone(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        path, opened = f"{name}.takeover", os.open

        def gone_meanwhile(*args: Any) -> int:
            descriptor = opened(*args)
            os.unlink(path)
            return descriptor

        monkeypatch.setattr(lockfile.os, "open", gone_meanwhile)
        with lockfile._guard(path) as alone:
            assert not alone

    def test_a_fresh_lock_made_during_the_take_over_wins(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        os.symlink(str(DEAD), name)
        unlink = os.unlink

        def and_somebody_is_faster(path: str) -> None:
            unlink(path)
            if path == name:
                os.symlink(str(SOMEBODY), name)

        monkeypatch.setattr(lockfile.os, "unlink", and_somebody_is_faster)
        assert not FilesystemLock(name).lock()
        assert os.readlink(name) == str(SOMEBODY)

    def test_only_the_process_that_holds_it_gives_it_back(self, name: str) -> None:
        lock = FilesystemLock(name)
        with pytest.raises(ValueError, match="nobody does"):
            lock.unlock()
        os.symlink(str(SOMEBODY), name)
        with pytest.raises(ValueError, match=f"process {SOMEBODY} does"):
            lock.unlock()
        assert os.path.lexists(name)

    @pytest.mark.parametrize("target", ["text", "0", "-1", "1.5", "٣", str(1 << 31)])
    def test_a_link_to_something_else_is_no_lock(self, name: str, target: str) -> None:
        os.symlink(target, name)
        for use in (FilesystemLock(name).lock, FilesystemLock(name).unlock, lambda: isLocked(name)):
            with pytest.raises(ValueError, match="not to the number of a process"):
                use()
        assert os.readlink(name) == target

    @pytest.mark.parametrize("make", [Path.touch, Path.mkdir])
    def test_a_file_is_no_lock(self, name: str, make: Callable[[Path], None]) -> None:
        make(Path(name))
        for use in (FilesystemLock(name).lock, lambda: isLocked(name)):
            with pytest.raises(ValueError, match="file or directory"):
                use()

    def test_a_directory_that_is_missing_is_an_error_of_lock(self, name: str) -> None:
        with pytest.raises(FileNotFoundError):
            FilesystemLock(f"{name}/inside").lock()
        assert not isLocked(f"{name}/inside")

    def test_elsewhere_than_on_posix_it_is_refused(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lockfile.os, "name", "nt")
        for use in (FilesystemLock, isLocked):
            with pytest.raises(RuntimeError, match="POSIX"):
                use(name)

    def test_repr_says_how_it_stands(self, name: str) -> None:
        lock = FilesystemLock(name)
        assert repr(lock) == f"<FilesystemLock {name!r}, not locked>"
        lock.lock()
        assert repr(lock) == f"<FilesystemLock {name!r}, locked>"


class TestDeferredFilesystemLock:
    def test_a_free_lock_is_had_at_once(self, name: str) -> None:
        clock = Clock()
        lock = DeferredFilesystemLock(name, clock)
        assert outcome_of(lock.deferUntilLocked()) is None
        assert lock.locked
        assert clock.getDelayedCalls() == []

    def test_it_looks_each_second(self, name: str) -> None:
        clock = Clock()
        lock = DeferredFilesystemLock(name, scheduler=clock)
        os.symlink(str(SOMEBODY), name)
        waiting = lock.deferUntilLocked()
        clock.pump([1, 1, 0.5])
        os.unlink(name)
        assert not waiting.called
        clock.advance(0.5)
        assert outcome_of(waiting) is None
        assert lock.locked
        assert clock.getDelayedCalls() == []

    def test_it_times_out(self, name: str) -> None:
        clock = Clock()
        lock = DeferredFilesystemLock(name, clock)
        os.symlink(str(SOMEBODY), name)
        waiting = lock.deferUntilLocked(timeout=3.5)
        clock.pump([1, 1, 1, 0.5])
        error = outcome_of(waiting)
        assert isinstance(error, TimeoutError)
        assert str(error) == f"lock {name}: no result within 3.5 s"
        assert clock.getDelayedCalls() == []
        os.unlink(name)
        assert outcome_of(lock.deferUntilLocked()) is None

    def test_had_in_time_the_timeout_is_called_off(self, name: str) -> None:
        clock = Clock()
        lock = DeferredFilesystemLock(name, clock)
        os.symlink(str(SOMEBODY), name)
        waiting = lock.deferUntilLocked(timeout=3)
        os.unlink(name)
        clock.advance(1)
        assert outcome_of(waiting) is None
        assert clock.getDelayedCalls() == []

    def test_cancelling_ends_the_waiting(self, name: str) -> None:
        clock = Clock()
        lock = DeferredFilesystemLock(name, clock)
        os.symlink(str(SOMEBODY), name)
        waiting = lock.deferUntilLocked(timeout=3)
        waiting.cancel()
        assert isinstance(outcome_of(waiting), CancelledError)
        assert clock.getDelayedCalls() == []
        os.unlink(name)
        assert outcome_of(lock.deferUntilLocked()) is None

    def test_one_at_a_time_may_wait_through_one_object(self, name: str) -> None:
        lock = DeferredFilesystemLock(name, Clock())
        os.symlink(str(SOMEBODY), name)
        waiting = lock.deferUntilLocked()
        error = outcome_of(lock.deferUntilLocked())
        assert isinstance(error, AlreadyTryingToLockError)
        assert "use a second" in str(error)
        waiting.addErrback(lambda failure: None)
        waiting.cancel()

    @pytest.mark.parametrize("first", [True, False])
    def test_what_goes_wrong_is_its_failure(self, name: str, first: bool) -> None:
        clock = Clock()
        lock = DeferredFilesystemLock(name, clock)
        os.symlink("text" if first else str(SOMEBODY), name)
        waiting = lock.deferUntilLocked(timeout=10)
        if not first:
            os.unlink(name)
            os.symlink("text", name)
            clock.advance(1)
        assert isinstance(outcome_of(waiting), ValueError)
        assert clock.getDelayedCalls() == []

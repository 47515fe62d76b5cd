"""`FilesystemLock`: one process at a time, by a symbolic link whose target is the number of the process that holds it.

On disk this is Twisted's lock, so that programs on both can share one. A link whose process is gone is stale, and taken
over. Removing it must be left to one process: of two that both find it stale, the slower would otherwise remove what
the faster has just made. So whoever removes one holds a guard meanwhile: ``flock`` on the file ``NAME.takeover``, which
the kernel gives back however the process ends. (Twisted's processes know nothing of the guard: among themselves, and
with ours, they keep that race.)

POSIX only: elsewhere, `os.kill` does not ask whether a process lives, but ends it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["FilesystemLock", "isLocked"]


def isLocked(name: str) -> bool:
    """Whether a process that lives holds the lock *name*. Changes nothing.

    Raises: ValueError: *name* is something else than a lock. RuntimeError: this is no POSIX system.
    """
    _require_posix()
    holder = _holder(name)
    return holder is not None and _lives(holder)


class FilesystemLock:
    """A lock that other processes respect.

    A process number means something on one machine only, and in a container only there: keep the lock on a file system
    that is no older and no more widely shared. A number that another process has come to have counts as alive.

    Args:
        name: the path of the lock, in a directory that exists.
    Attributes: *name*; *locked*, whether this object holds it; *clean*, once locked, False if it was taken over from a
        process that has ended without giving it back, None before.
    Raises: RuntimeError: this is no POSIX system.
    """

    def __init__(self, name: str) -> None:
        _require_posix()
        self.name = name
        self.locked = False
        self.clean: bool | None = None

    def lock(self) -> bool:
        """Try to get the lock; never waits.

        Returns: whether this object now holds it. False also while another process takes it over.
        Raises:
            ValueError: there is something else than a lock at *name*.
            OSError: it cannot be made, or a stale one not be removed; the directory is missing or not writable.
        """
        if self._make():
            self.clean = True
        elif self._is_stale() and self._take_over():
            self.clean = False
        else:
            return False
        self.locked = True
        return True

    def unlock(self) -> None:
        """Give the lock back.

        Raises: ValueError: this process does not hold it.
        """
        holder = _holder(self.name)
        if holder != os.getpid():
            held = "nobody does" if holder is None else f"process {holder} does"
            raise ValueError(f"this process does not hold the lock {self.name!r}: {held}")
        os.unlink(self.name)
        self.locked = False

    def _make(self) -> bool:
        try:
            os.symlink(str(os.getpid()), self.name)
        except FileExistsError:
            return False
        return True

    def _is_stale(self) -> bool:
        holder = _holder(self.name)
        return holder is not None and not _lives(holder)

    def _take_over(self) -> bool:
        """Remove the stale lock and make our own; False if others are, or were, at it."""
        with _guard(f"{self.name}.takeover") as guarded:
            if not guarded or not self._is_stale():
                return False
            os.unlink(self.name)
            return self._make()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}, {'locked' if self.locked else 'not locked'}>"


def _require_posix() -> None:
    if os.name != "posix":
        raise RuntimeError("a FilesystemLock needs a POSIX system: it asks whether the process of a number lives")


def _holder(name: str) -> int | None:
    """The process that *name* points to, or None if there is no lock."""
    try:
        target = os.readlink(name)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise ValueError(f"{name!r} is no lock: it is a file or directory, where a lock is a symbolic link") from None
    # 0 and negative numbers would mean groups of processes to kill(2); the limit is that of pid_t.
    if not (target.isascii() and target.isdigit() and 0 < int(target) < 1 << 31):
        raise ValueError(f"{name!r} is no lock: it points to {target!r}, not to the number of a process")
    return int(target)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


@contextmanager
def _guard(path: str) -> Iterator[bool]:
    """Try to be the only one in here, in all processes; says whether that is so."""
    import fcntl  # POSIX only; this module can be imported elsewhere

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = os.path.samestat(os.fstat(descriptor), os.stat(path))
        except (BlockingIOError, FileNotFoundError):
            alone = False
        try:
            yield alone  # without it, the file is not the one that others find any more
        finally:
            if alone:
                os.unlink(path)  # while it is locked: who has opened it meanwhile sees by `samestat` that it has gone
    finally:
        os.close(descriptor)

"""A file that is there as a whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import sys
from pathlib import Path

__all__ = ["Output"]


class Output:
    """What is written appears under its name when it is finished; until then the file of that name stays as it was.

    Args:
        path: the name; ``-`` is the standard output, which, as pipes and devices do, gets everything at once.
    Threading: one thread at a time; methods block. They raise OSError.
    """

    def __init__(self, path: str) -> None:
        self._path = None if path == "-" else Path(path)
        self._beside: Path | None = None
        self._descriptor: int | None = None

    def open(self) -> None:
        """Make sure that it can be written."""
        if self._path is None:
            if sys.stdout is None:  # closed before we began; its number may be another file's by now
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            self._descriptor = os.dup(sys.stdout.fileno())
            return
        path = self._path = self._path.resolve()  # a link stays one
        flags = os.O_WRONLY | getattr(os, "O_BINARY", 0)
        if path.exists() and not path.is_file():
            self._descriptor = os.open(path, flags)
            return
        # In the same folder, because a rename is atomic within a file system only; and not by `tempfile`, whose files
        # nobody else may read.
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        self._descriptor = os.open(beside, flags | os.O_CREAT | os.O_EXCL, 0o666)
        self._beside = beside
        if path.exists():
            shutil.copymode(path, beside)

    def write(self, data: bytes) -> None:
        """Add *data*."""
        assert self._descriptor is not None
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def finish(self) -> None:
        """Everything is written: let it be seen."""
        assert self._descriptor is not None
        if self._beside is not None:
            assert self._path is not None
            os.fsync(self._descriptor)  # else a crash could leave the new name with nothing in it
            os.replace(self._beside, self._path)
            self._beside = None
        self.discard()

    def discard(self) -> None:
        """It will not be finished: leave nothing behind. Does nothing after `finish`."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
        beside, self._beside = self._beside, None
        if beside is not None:
            beside.unlink()

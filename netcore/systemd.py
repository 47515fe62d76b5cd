"""Sockets that systemd has opened, and passes to the service that it starts when somebody connects.

The protocol is that of sd_listen_fds(3): the descriptors are 3 and those that follow, LISTEN_FDS says how many,
LISTEN_PID for which process they are, and LISTEN_FDNAMES, with colons between, what they are called.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping, Sequence

__all__ = ["ListenFDs"]

_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
_UNNAMED = "unknown"  # sd_listen_fds_with_names(3): what one is called that was given no name


class ListenFDs:
    """The descriptors that this process was given.

    Args:
        descriptors: their numbers.
        names: what they are called, in the same order.
    """

    _START = 3  # SD_LISTEN_FDS_START
    _of_this_process: ListenFDs | None = None

    def __init__(self, descriptors: Sequence[int], names: Sequence[str] = ()) -> None:
        self._descriptors = tuple(descriptors)
        self._names = tuple(names)
        self._files: dict[int, tuple[int, int] | None] = {}  # what they were open to when the environment was read

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._descriptors} {self._names}>"

    @classmethod
    def fromEnvironment(cls, environ: MutableMapping[str, str] | None = None, start: int | None = None) -> ListenFDs:
        """The descriptors that *environ* tells of; none, if it tells of none, or of those of another process.

        The variables are taken out of *environ*, so that no child takes them for its own; and the descriptors are not
        inherited by other programs from now on (FD_CLOEXEC).

        Args:
            environ: default: this process's environment. What was found there is remembered, and found again.
            start: the first descriptor; default: 3.
        Raises: ValueError: LISTEN_FDS is no number, or there are more or fewer names. OSError: a descriptor is not
            open.
        """
        if environ is not None:
            return cls._read(environ, start)
        found = cls._read(os.environ, start)
        if found._descriptors or ListenFDs._of_this_process is None:
            ListenFDs._of_this_process = found
        return ListenFDs._of_this_process

    @classmethod
    def _read(cls, environ: MutableMapping[str, str], start: int | None) -> ListenFDs:
        process, count, names = (environ.pop(each, "") for each in _VARIABLES)
        if process != str(os.getpid()):
            return cls(())
        if not (count.isascii() and count.isdecimal() and len(count) < 10):
            raise ValueError(f"LISTEN_FDS must be how many descriptors there are, and not {count!r}")
        first = cls._START if start is None else start
        descriptors = range(first, first + int(count))
        files = {}
        for each in descriptors:
            try:
                os.set_inheritable(each, False)
                files[each] = _file(each)
            except OSError as error:
                raise OSError(error.errno, f"descriptor {each} of LISTEN_FDS={count}: {error.strerror}") from None
        called = names.split(":") if names else [_UNNAMED] * len(descriptors)
        if len(called) != len(descriptors):
            raise ValueError(f"LISTEN_FDNAMES has {len(called)} names, {names!r}, for {count} descriptors")
        found = cls(descriptors, called)
        found._files = files
        return found

    def inheritedDescriptors(self) -> list[int]:
        """Their numbers, in their order."""
        return list(self._descriptors)

    def inheritedNamedDescriptors(self) -> dict[str, int]:
        """Their numbers, by what they are called; of several with one name, the last."""
        return dict(zip(self._names, self._descriptors, strict=False))

    def _with_name(self, name: str) -> list[int]:
        return [number for called, number in zip(self._names, self._descriptors, strict=False) if called == name]

    def _is_there(self, descriptor: int) -> bool:
        """Whether it is still open to what it was open to."""
        return descriptor in self._files and _file(descriptor) == self._files[descriptor]


def _file(descriptor: int) -> tuple[int, int] | None:
    """What *descriptor* is open to; None: nothing."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino

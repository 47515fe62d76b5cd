"""Starting a program in a process of its own, with its descriptors arranged.

Three ways, none of which suits all (decision 0021 has the figures):

1. `subprocess.Popen`, where the child's descriptors beside 0, 1 and 2 keep their numbers. Between vfork(2) and
   execve(2) no Python runs, and what else is open is closed by one system call.
2. `os.posix_spawn`, where descriptors get other numbers, or a terminal of the child's own. It knows no directory, user
   or group to change to. What the child must not inherit has to be listed here, and is: the little that can be
   inherited.
3. `subprocess.Popen` with a function that the child calls, where it takes both. There Python runs after fork(2), in a
   child of which this is the only thread: so it makes nothing but system calls, and all it needs is prepared before.

Each raises what keeps the program from being executed. Signals that Python ignores (SIGPIPE) mean to the child what
they mean to other programs.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

__all__ = ["Program", "spawn"]

_STANDARD = frozenset({0, 1, 2})
# What Python ignores (Py_InitializeEx): the child gets the default action back, as from subprocess.
_IGNORED = [number for name in ("SIGPIPE", "SIGXFSZ") if (number := getattr(signal, name, None)) is not None]


@dataclass(frozen=True)
class Program:
    """What is to be executed.

    Attributes: as the arguments of ``spawnProcess``; *args* and *env* as bytes, *env* None for this process's own.
    """

    executable: bytes
    args: Sequence[bytes]
    env: Mapping[bytes, bytes] | None
    path: bytes | None
    uid: int | None
    gid: int | None

    @classmethod
    def checked(
        cls,
        executable: Any,
        args: Any,
        env: Mapping[Any, Any] | None,
        path: Any,
        uid: int | None,
        gid: int | None,
    ) -> Program:
        """A program, found on PATH if its name has no slash.

        Raises: TypeError: an argument is of another kind. ValueError: one has a NUL in it, or a name in *env* has "=".
            FileNotFoundError: there is no such program on PATH.
        """
        if os.name != "posix":
            raise RuntimeError(f"child processes are written for POSIX systems, not for {sys.platform}")
        if isinstance(args, (str, bytes)):
            raise TypeError(f"args is a sequence of str or bytes, one for each argument, not {args!r}")
        for what, number in (("uid", uid), ("gid", gid)):
            if number is not None and not isinstance(number, int):
                raise TypeError(f"{what} is a number, not {number!r}")
        environment = None if env is None else {_encoded(key): _encoded(value) for key, value in env.items()}
        if environment is not None and any(b"=" in name or not name for name in environment):
            raise ValueError('the name of an environment variable is not empty and has no "=" in it')
        name = _encoded(executable)
        arguments = [_encoded(each) for each in args] or [name]
        return cls(
            _found(name, environment), arguments, environment, None if path is None else _encoded(path), uid, gid
        )

    @property
    def changes(self) -> bool:
        """Whether it begins in another directory, or as somebody else."""
        return self.path is not None or self.uid is not None or self.gid is not None


def spawn(program: Program, descriptors: Mapping[int, int], slave: int | None = None) -> int:
    """Start *program*, with *descriptors* of ours under the numbers they have there, and no others.

    Args:
        slave: a pseudo-terminal's, to be its standard streams and its controlling terminal.
    Returns: the process's number.
    Raises: OSError: it cannot be started, or executed.
    """
    if slave is not None:
        descriptors = dict.fromkeys(_STANDARD, slave)
    others = {there: here for there, here in descriptors.items() if there not in _STANDARD}
    if slave is None and descriptors.keys() >= _STANDARD and all(there == here for there, here in others.items()):
        return _popen(
            program, stdin=descriptors[0], stdout=descriptors[1], stderr=descriptors[2], pass_fds=tuple(others)
        )
    terminal = None if slave is None else _name_of(slave)
    with _Arranged(descriptors) as arranged:
        if not program.changes and (slave is None or terminal is not None):
            return _posix_spawn(program, arranged, terminal)
        setup = arranged.in_the_child(slave is not None)
        return _popen(program, preexec_fn=setup, close_fds=False, start_new_session=slave is not None)


def _popen(program: Program, **options: Any) -> int:
    if program.uid is not None or program.gid is not None:
        options.update(_identity(program.uid, program.gid))
    try:
        started = subprocess.Popen(
            program.args, executable=program.executable, cwd=program.path, env=program.env, **options
        )
    except subprocess.SubprocessError as error:  # what the child did before it was to execute the program
        raise OSError(errno.EIO, f"the child could not be set up: {error}") from error
    started.returncode = 0  # or subprocess itself would wait for it, some time
    return started.pid


def _posix_spawn(program: Program, arranged: _Arranged, terminal: bytes | None) -> int:
    actions: list[Any] = [(os.POSIX_SPAWN_CLOSE, number) for number in arranged.unwanted]
    if terminal is not None:  # the first that a session without one opens becomes its controlling terminal
        actions.append((os.POSIX_SPAWN_OPEN, 0, terminal, os.O_RDWR, 0))
        actions += [(os.POSIX_SPAWN_DUP2, 0, there) for there in (1, 2)]
    else:
        actions += [(os.POSIX_SPAWN_DUP2, here, there) for there, here in arranged.moves]
    environment = os.environ if program.env is None else program.env
    options: dict[str, Any] = {"setsid": True} if terminal is not None else {}
    return os.posix_spawn(
        program.executable, list(program.args), environment, file_actions=actions, setsigdef=_IGNORED, **options
    )


class _Arranged:
    """Descriptors on their way to other numbers: each is moved from where no target is.

    Attributes: *moves*, (number there, number here) of each; *unwanted*, what the child would inherit beside these.
    """

    def __init__(self, descriptors: Mapping[int, int]) -> None:
        import fcntl

        self._ours: list[int] = []
        self.moves: list[tuple[int, int]] = []
        beyond = max([*descriptors, 2]) + 1
        try:
            for there, here in descriptors.items():
                if here < beyond:
                    here = fcntl.fcntl(here, fcntl.F_DUPFD_CLOEXEC, beyond)
                    self._ours.append(here)
                self.moves.append((there, here))
        except BaseException:
            self.close()
            raise
        self.unwanted = [
            number for number in _open_descriptors() if number not in descriptors and _is_inheritable(number)
        ]

    def in_the_child(self, terminal: bool) -> Callable[[], None]:
        """What the child is to call: it makes system calls, and nothing else."""
        import fcntl
        import termios

        # subprocess opens a pipe for what goes wrong in the child: under none of the numbers that are given away there.
        for there, here in self.moves:
            number = fcntl.fcntl(here, fcntl.F_DUPFD_CLOEXEC, there)
            self._ours.append(number)
        moves, unwanted = self.moves, self.unwanted
        dup2, set_inheritable, ioctl, control = os.dup2, os.set_inheritable, fcntl.ioctl, termios.TIOCSCTTY

        def setup() -> None:
            for number in unwanted:
                set_inheritable(number, False)
            for there, here in moves:
                dup2(here, there)
            if terminal:
                ioctl(0, control, 0)

        return setup

    def close(self) -> None:
        """Give the copies back."""
        for number in self._ours:
            os.close(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _encoded(text: Any) -> bytes:
    encoded = os.fsencode(text)
    if b"\0" in encoded:
        raise ValueError(f"a NUL cannot be handed to a program: {text!r}")
    return encoded


def _found(name: bytes, environment: Mapping[bytes, bytes] | None) -> bytes:
    """Where the program is that *name*, without a slash, means."""
    if b"/" in name or not name:
        return name
    path = os.environb.get(b"PATH") if environment is None else environment.get(b"PATH", os.environb.get(b"PATH"))
    found = shutil.which(os.fsdecode(name), path=os.defpath if path is None else os.fsdecode(path))
    if found is None:
        raise FileNotFoundError(errno.ENOENT, "there is no such program on PATH", os.fsdecode(name))
    return os.fsencode(found)


def _identity(uid: int | None, gid: int | None) -> dict[str, Any]:
    """What makes the child *uid* and *gid*, in the groups of that user, or of this one."""
    import pwd

    try:
        user = pwd.getpwuid(os.geteuid() if uid is None else uid)
    except KeyError:  # a number needs no name
        user = None
    group = gid
    if group is None:
        if user is None:
            raise ValueError(f"uid {uid} is in no user database, which would tell its group: give gid")
        group = user.pw_gid
    options: dict[str, Any] = {"group": group}
    if uid is not None:
        options["user"] = uid
    if os.geteuid() == 0:  # nobody else may choose
        options["extra_groups"] = [group] if user is None else os.getgrouplist(user.pw_name, group)
    return options


def _name_of(slave: int) -> bytes | None:
    """What a session opens to have that terminal; None: that is not the way here."""
    if sys.platform != "linux":
        return None  # elsewhere opening it is not enough (BSD)
    try:
        return os.fsencode(os.ttyname(slave))
    except OSError:  # it is another mount's, as in some containers
        return None


def _open_descriptors() -> list[int]:
    for place in ("/proc/self/fd", "/dev/fd"):
        try:
            return [int(name) for name in os.listdir(place)]
        except OSError:
            pass
    return list(range(min(os.sysconf("SC_OPEN_MAX"), 65536)))


def _is_inheritable(number: int) -> bool:
    try:
        return os.get_inheritable(number)
    except OSError:  # it is open no more
        return False

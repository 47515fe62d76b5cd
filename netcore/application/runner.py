"""The ``netcore`` command: ``netcore run FILE`` runs the application that a Python file defines, in the foreground.

What happens when, and why: the reactor that was asked for by name is installed; the file is executed; ports are bound
(``privilegedStartService``) while the process may still be root; then uid and gid are given up; then the services
start, as the user asked for; then the reactor runs until a signal stops it, and waits until the services have stopped.
SIGUSR1 prints what waits in the running loop, and is harmless from before the file is executed to the end.
Whatever fails before the reactor runs ends the command with status 1 and one line that says what to do, after the
traceback where there is one.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType, TracebackType

from netcore._current import current_reactor
from netcore.application._privileges import PrivilegesError, give_up
from netcore.application._what_waits import Printer, printing_what_waits
from netcore.debug import enable
from netcore.error import CannotListenError, NoSuchReactor
from netcore.interfaces import IProcess, IService, provides
from netcore.reactors import install
from netcore.reactors._names import NAMES

__all__ = ["main"]

log = logging.getLogger("netcore.application")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: its arguments; by default those of the process.
    Returns: the exit status: 0 after a clean stop, 1 if the application could not be started, 130 if it was interrupted
        before it was.
    Raises: SystemExit: with status 2 for wrong arguments, 0 for ``--help``.
    """
    arguments = _parser().parse_args(argv)
    try:
        run(arguments.file, arguments.reactor, arguments.debug)
    except CannotStart as error:
        print(f"netcore: {error}", file=sys.stderr)  # noqa: T201 - for whoever typed the command
        return 1
    except KeyboardInterrupt:
        return 130  # 128 + SIGINT, as shells count
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="netcore", description="Run network services.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    run_parser = commands.add_parser(
        "run",
        help="run the application that a Python file defines",
        description="Run the application that a Python file defines as `application`, in the foreground, until SIGINT "
        "(Ctrl-C) or SIGTERM. It logs to standard error. SIGUSR1 prints there what waits: Deferreds, coroutines, "
        "timers, jobs in threads, connections. While a callback holds the loop, that waits until it returns; while the "
        "application is loaded, until it runs.",
    )
    run_parser.add_argument(
        "--reactor",
        metavar="NAME",
        choices=NAMES,
        help=f"the event loop to run on: {', '.join(NAMES)} (default: what NETCORE_REACTOR names, else asyncio's own)",
    )
    run_parser.add_argument(
        "--debug",
        action="store_true",
        help="report where failures come from, callbacks that hold the loop, and more (as NETCORE_DEBUG=1 does)",
    )
    run_parser.add_argument("file", metavar="FILE", help="the Python file")
    return parser


class CannotStart(Exception):
    """The application could not be started. The text says why, and what to do."""


def run(file: str, reactor_name: str | None = None, debugging: bool = False) -> None:
    """Run the application that *file* defines until its reactor is stopped.

    Args:
        reactor_name: which reactor to install; by default the one that the file installs, or that is made at need.
        debugging: whether to switch debugging on, before *file* is executed.
    Raises: CannotStart.
    """
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s [%(name)s] %(message)s", stream=sys.stderr
    )
    if debugging:
        enable()
    with printing_what_waits() as printer:
        _run(file, reactor_name, printer)


def _run(file: str, reactor_name: str | None, printer: Printer) -> None:
    try:
        if reactor_name is not None:
            install(reactor_name)
        application = load(file)
        reactor = current_reactor()
    except NoSuchReactor as error:
        raise CannotStart(str(error)) from None
    try:
        application.privilegedStartService()
        process: object = application
        if provides(process, IProcess) and give_up(process.uid, process.gid):
            log.info("now uid %d, gid %d", os.getuid(), os.getgid())
        application.startService()
    except (CannotListenError, PrivilegesError) as error:
        raise CannotStart(str(error)) from None
    except Exception as error:
        _print_traceback(error, error.__traceback__)
        raise CannotStart(f"{application!r} failed to start: see above") from None
    reactor.addSystemEventTrigger("before", "shutdown", application.stopService)
    printer.serve(reactor)
    reactor.callWhenRunning(log.info, "%r runs; SIGINT (Ctrl-C) or SIGTERM ends it", application)
    reactor.run()


def load(file: str) -> IService:
    """Execute *file*, with its folder importable, and return what it calls ``application``.

    Raises: CannotStart: there is no such file, it raises (its traceback is printed), or its application is none.
        NoSuchReactor: it asked for the reactor, and there is none of the name that it or NETCORE_REACTOR says.
    """
    path = os.path.abspath(file)
    try:
        with open(path, "rb") as source:
            text = source.read()
    except OSError as error:
        raise CannotStart(f"{file}: {error.strerror}") from None
    # A module of its own, under a name nobody imports: classes defined in the file can find their module by its name.
    module = ModuleType("__netcore_application__")
    module.__file__ = path
    sys.modules[module.__name__] = module
    sys.path.insert(0, os.path.dirname(path))
    try:
        exec(compile(text, path, "exec"), module.__dict__)
    except NoSuchReactor:  # said by `run`, in one line: NETCORE_REACTOR may be wrong, and nothing in the file
        raise
    except (Exception, SystemExit) as error:
        # The first frame is this one.
        _print_traceback(error, error.__traceback__ and error.__traceback__.tb_next)
        raise CannotStart(f"{file} could not be executed: see above") from None
    try:
        application: object = module.application
    except AttributeError:
        raise CannotStart(
            f"{file} defines no `application`: it needs application = netcore.application.service.Application(name)"
        ) from None
    if not provides(application, IService):
        raise CannotStart(
            f"`application` in {file} is of type {type(application).__name__}, which provides no IService: "
            "make it with netcore.application.service.Application(name)"
        )
    return application


def _print_traceback(error: BaseException, tb: TracebackType | None) -> None:
    traceback.print_exception(type(error), error, tb)

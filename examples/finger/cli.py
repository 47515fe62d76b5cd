"""The command line: ``python -m examples.finger COMMAND``; ``--help`` lists the commands."""

from __future__ import annotations

import argparse
import errno
import io
import logging
import os
import shlex
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from examples.finger.client import NoAnswer, Target, finger
from examples.finger.limits import DEFAULT, Limits, make_room
from examples.finger.people_csv import FileRefused
from examples.finger.progress import progress_bar
from examples.finger.protocol import clean, long_records
from examples.finger.records import FIELDS, Person, Session
from examples.finger.server import FingerService, reason_of
from examples.finger.store import Store
from examples.finger.tables import Refusal
from examples.finger.transfer import Import, Interrupted, Source, Stop, counted, export, pages
from netcore.defer import Deferred
from netcore.error import CannotListenError, ConnectError, ConnectionClosed, DNSLookupError, NoSuchReactor
from netcore.task import react

__all__ = ["main"]

DATABASE = "sqlite:///finger.sqlite3"
INTERRUPT = 5.0
"""For how many seconds a command that is told to end may see to its affairs."""
INTERRUPTED = 128 + 2
"""The exit status that shells give to a program ended by SIGINT."""

IMPORT = """Add people from a CSV file (RFC 4180, UTF-8). Its first line names the fields: login and name, and as you
like office, phone, project, plan, in any order. All of them are added, or nobody, and a line that is at fault is named;
with --batch those before it stay, and an import with --update goes on where it ended. On SQLite, --batch also lets a
service on the same file answer while it goes on."""
EXPORT = """Write everybody to a CSV file that `import` reads. Sessions are not in it. The file appears, or is replaced,
when all of it is written."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns: the exit status.
    Raises: SystemExit.
    """
    arguments = parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that has no Å still shows the rest
    try:
        return command(arguments)
    except NoSuchReactor as error:  # NETCORE_REACTOR names one that is not to be had
        sys.exit(f"finger: {error}")


def parser() -> argparse.ArgumentParser:
    """The commands and their arguments."""
    whole = argparse.ArgumentParser(prog="python -m examples.finger", description="A finger service (RFC 1288).")
    commands = whole.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, function: Callable[[argparse.Namespace], int], help: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=help, description=help)
        made.set_defaults(command=function)
        return made

    def command_on_database(name: str, function: Any, help: str) -> argparse.ArgumentParser:
        made = command(name, function, help)
        made.add_argument("--db", metavar="URL", default=DATABASE, help="the database (default: %(default)s)")
        return made

    serving = command_on_database("serve", serve, "answer finger queries until Ctrl-C")
    serving.add_argument("--port", type=port_number, default=7979, help="the TCP port (default: %(default)s)")
    serving.add_argument("--interface", default="127.0.0.1", help="the address to listen on (default: %(default)s)")

    serving.add_argument(
        "--answer-within",
        type=answer_time,
        default=DEFAULT.answer_within,
        metavar="SECONDS",
        help="how long a question may wait for its answer (default: %(default)g)",
    )

    adding = command_on_database("add", on_store(add), "add somebody")
    adding.add_argument("login")
    adding.add_argument("name", help="the full name")
    for field in ("office", "phone", "project", "plan"):
        adding.add_argument(f"--{field}", default="")

    on = command_on_database("on", on_store(log_on), "open a session of somebody's")
    on.add_argument("login")
    on.add_argument("--line", default="pts/0", help="the terminal (default: %(default)s)")
    on.add_argument("--host", default="localhost", help="where it stands (default: %(default)s)")
    on.add_argument("--idle", type=seconds, default=0, metavar="SECONDS", help="how long it has been silent")

    off = command_on_database("off", on_store(log_off), "close sessions of somebody's")
    off.add_argument("login")
    off.add_argument("--line", help="the terminal (default: all)")

    importing = command_on_database("import", on_store(import_people, whole=True), "add people from a CSV file")
    importing.description = IMPORT
    importing.add_argument("file", metavar="FILE.csv", help="what to read; - for the standard input")
    importing.add_argument(
        "--update", action="store_true", help="give those who are there already what the file says, instead of refusing"
    )
    importing.add_argument(
        "--batch", type=batch_size, metavar="N", help="commit after every N people, instead of all or nothing"
    )

    exporting = command_on_database("export", on_store(export_people, whole=True), "write everybody to a CSV file")
    exporting.description = EXPORT
    exporting.add_argument("file", metavar="FILE.csv", nargs="?", default="-", help="default: the standard output")

    command_on_database("list", on_store(list_all), "list everybody")
    for name, function, help in (
        ("show", show, "show everything about somebody"),
        ("remove", remove, "remove somebody"),
    ):
        command_on_database(name, on_store(function), help).add_argument("login")

    asking = command("finger", ask, "ask a finger server")
    asking.add_argument("target", metavar="[USER]@HOST[:PORT]", help="whom to ask about whom; no user: who is on")
    asking.add_argument("-l", "--long", action="store_true", help="ask for the long form")
    return whole


def port_number(text: str) -> int:
    """The port that *text* names.

    Raises: argparse.ArgumentTypeError.
    """
    return whole_number(text, "a port", 0, 65535)


def seconds(text: str) -> int:
    """The time that *text* says, as the database can hold it.

    Raises: argparse.ArgumentTypeError.
    """
    return whole_number(text, "the idle time", 0, 2**31 - 1)


def answer_time(text: str) -> float:
    """The seconds that *text* says.

    Raises: argparse.ArgumentTypeError.
    """
    return float(whole_number(text, "the time for an answer", 1, 3600))


def batch_size(text: str) -> int:
    """How many people *text* means.

    Raises: argparse.ArgumentTypeError.
    """
    return whole_number(text, "a batch", 1, 10**9)


def whole_number(text: str, what: str, least: int, most: int) -> int:
    """*text* as a number from *least* to *most*.

    Raises: argparse.ArgumentTypeError, about *what*.
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and least <= int(text) <= most):
        raise argparse.ArgumentTypeError(f"{what} is a number from {least} to {most}, not {text!r}")
    return int(text)


# ------------------------------------------------------------------------------------------------------------ serve


def serve(arguments: argparse.Namespace) -> int:
    """Answer queries until Ctrl-C."""
    from netcore import reactor

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s [%(name)s] %(message)s")
    logging.getLogger("netcore").setLevel(logging.WARNING)  # ports opened and closed: we say so ourselves
    logging.getLogger("asyncdb.engine").setLevel(logging.WARNING)  # each lost connection in three lines; the pool's one
    limits = make_room(replace(DEFAULT, answer_within=arguments.answer_within))
    service = FingerService(reactor, open_store(arguments.db, limits), arguments.port, arguments.interface, limits)
    try:
        service.startService()
    except CannotListenError as error:
        sys.exit(f"finger: {error}")
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.callWhenRunning(say_what_to_type, service, arguments)
    reactor.run()
    return 0


def say_what_to_type(service: FingerService, arguments: argparse.Namespace) -> None:
    """Tell the reader of the terminal what to do next."""
    port = service.address.port
    host = "localhost" if arguments.interface in {"", "127.0.0.1", "0.0.0.0"} else arguments.interface
    bracketed = f"[{host}]" if ":" in host else host
    database = make_url(arguments.db).render_as_string(hide_password=True)
    lines = [
        f"finger listens on {arguments.interface}:{port}; its people are in {database}",
        "From another terminal, in this folder:",
        f"    {python()} -m examples.finger finger alice@{bracketed}:{port}",
        f"    printf 'alice\\r\\n' | nc {host} {port}",
        "Ctrl-C ends it.",
        "",
    ]
    # In one piece, line ends included, so that what is logged meanwhile stands before or after it.
    print("\n".join(lines), end="", flush=True)


def python() -> str:
    """The Python that runs this, as it is typed in this folder."""
    relative = os.path.relpath(sys.executable)
    return shlex.quote(sys.executable if relative.startswith(os.pardir) else relative)


# ------------------------------------------------------------------------------------------------------ the database


def open_store(url: str, limits: Limits = DEFAULT, patient: bool = False) -> Store:
    """The store in the database at *url*; ends the program, saying why, if there cannot be one."""
    try:
        return Store.fromURL(url, limits, patient)
    except (ValueError, ArgumentError, ImportError) as error:
        sys.exit(f"finger: {error}")


def on_store(
    function: Callable[[Store, argparse.Namespace, Stop], Awaitable[None]], whole: bool = False
) -> Callable[[argparse.Namespace], int]:
    """Make a command of *function*: it is run in the reactor, with a store that is closed afterwards.

    Args:
        whole: it is about everybody, and may take as long as it needs.
    """

    def command(arguments: argparse.Namespace) -> int:
        logging.basicConfig(level=logging.ERROR)  # what goes wrong is said in one line, below
        store = open_store(arguments.db, patient=whole)

        async def run(reactor: Any) -> None:
            stop = Stop()
            ended: Deferred[None] = Deferred()

            def interrupt() -> Deferred[None]:
                """Ctrl-C: the reactor goes on until *function* has come to an end, but not for ever."""
                stop.requested = True
                return ended.addTimeout(INTERRUPT, reactor).addErrback(lambda _: None)

            reactor.addSystemEventTrigger("before", "shutdown", interrupt)
            try:
                await function(store, arguments, stop)
            except (Refusal, FileRefused) as error:
                sys.exit(f"finger: {error}")
            except UnicodeError as error:
                sys.exit(f"finger: this is no text that could be stored: {error}")
            except store.outages as error:
                sys.exit(f"finger: the database is not available: {reason_of(error)}")
            finally:
                await store.close()
                if not ended.called:
                    ended.callback(None)

        react(run)

    return command


def say(*lines: str) -> None:
    """Print *lines*.

    Raises: FileRefused: the standard output takes no more, which nobody is to take for an error of the database's.
    """
    try:
        print(*lines, sep="\n", flush=True)
    except OSError as error:
        # What is left in its buffer has nowhere to go, and Python would complain once more at its end.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        raise FileRefused(None, f"the standard output: {error.strerror}") from error


async def add(store: Store, arguments: argparse.Namespace, stop: Stop) -> None:
    """Add somebody."""
    await store.add(Person(**{field: getattr(arguments, field) for field in FIELDS}))


async def list_all(store: Store, arguments: argparse.Namespace, stop: Stop) -> None:
    """Print everybody's login and name."""
    async for page in pages(store):
        say(*(f"{clean(person['login']):<32} {clean(person['name'])}".rstrip() for person in page))


async def show(store: Store, arguments: argparse.Namespace, stop: Stop) -> None:
    """Print all about somebody."""
    say(*map(clean, long_records(arguments.login, [await store.show(arguments.login)])))


async def remove(store: Store, arguments: argparse.Namespace, stop: Stop) -> None:
    """Remove somebody."""
    await store.remove(arguments.login)


async def log_on(store: Store, arguments: argparse.Namespace, stop: Stop) -> None:
    """Open a session."""
    since = datetime.now(UTC)
    await store.open_session(arguments.login, Session(arguments.line, arguments.host, since, arguments.idle))


async def log_off(store: Store, arguments: argparse.Namespace, stop: Stop) -> None:
    """Close a session, or all."""
    await store.close_sessions(arguments.login, arguments.line)


async def import_people(store: Store, arguments: argparse.Namespace, stop: Stop) -> None:
    """Add the people of a file, and say what was stored."""
    from netcore import reactor

    name = "the standard input" if arguments.file == "-" else arguments.file
    if arguments.file == "-" and sys.stdin is None:
        raise FileRefused(None, f"{name}: {os.strerror(errno.EBADF)}")
    try:
        # A pipe without a writer is waited for where the waiting can be ended, not here.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
        descriptor = os.dup(sys.stdin.fileno()) if arguments.file == "-" else os.open(arguments.file, flags)
    except OSError as error:
        raise FileRefused(None, f"{name}: {error.strerror}") from error
    try:
        importing = Import(Source(descriptor, stop), arguments.update, arguments.batch, stop)
        try:
            with progress_bar(importing) as draw:
                await importing.run(store, reactor, draw)
        except FileRefused as error:
            sys.exit(f"finger: {name}: {error}; {importing.told(error)}")
        except Interrupted as error:
            print(f"finger: {error}; {importing.told(error)}", file=sys.stderr)
            sys.exit(INTERRUPTED)
        except store.outages as error:
            sys.exit(f"finger: the database is not available: {reason_of(error)}; {importing.told(error)}")
        say(importing.told())
    finally:
        os.close(descriptor)


async def export_people(store: Store, arguments: argparse.Namespace, stop: Stop) -> None:
    """Write everybody to a file."""
    try:
        count = await export(store, arguments.file, stop)
    except Interrupted as error:
        print(f"finger: {error}; nothing is written to {arguments.file}", file=sys.stderr)
        sys.exit(INTERRUPTED)
    if arguments.file != "-":
        say(f"exported {counted(count)} to {arguments.file}")


# ------------------------------------------------------------------------------------------------------- the network


def ask(arguments: argparse.Namespace) -> int:
    """Ask a finger server, and print what it says."""
    try:
        target = Target.parse(arguments.target)
    except ValueError as error:
        sys.exit(f"finger: {error}")

    async def run(reactor: Any) -> None:
        try:
            say(*(await finger(reactor, target, arguments.long)).splitlines())
        except (ConnectError, ConnectionClosed, DNSLookupError, TimeoutError, NoAnswer) as error:
            sys.exit(f"finger: {target.host}:{target.port}: {error}")
        except FileRefused as error:
            sys.exit(f"finger: {error}")

    react(run)

"""The command line: ``python -m examples.finger serve|add|list|show|remove|finger``."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from asyncdb import AsyncdbError
from examples.finger.client import Target, finger
from examples.finger.protocol import clean, long_records
from examples.finger.records import Person
from examples.finger.server import FingerService, reason_of
from examples.finger.store import InvalidLogin, LoginTaken, Store, UnknownLogin
from netcore.error import CannotListenError, ConnectError, ConnectionClosed, DNSLookupError
from netcore.task import react

__all__ = ["main"]

DATABASE = "sqlite:///finger.sqlite3"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns: the exit status.
    Raises: SystemExit.
    """
    arguments = parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    return command(arguments)


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

    adding = command_on_database("add", on_store(add), "add somebody")
    adding.add_argument("login")
    adding.add_argument("name", help="the full name")
    for field in ("office", "phone", "project", "plan"):
        adding.add_argument(f"--{field}", default="")

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


# ------------------------------------------------------------------------------------------------------------ serve


def serve(arguments: argparse.Namespace) -> int:
    """Answer queries until Ctrl-C."""
    from netcore import reactor

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s [%(name)s] %(message)s")
    logging.getLogger("netcore").setLevel(logging.WARNING)  # ports opened and closed: we say so ourselves
    service = FingerService(reactor, open_store(arguments.db), arguments.port, arguments.interface)
    try:
        service.startService()
    except CannotListenError as error:
        sys.exit(f"finger: {error}")
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.callWhenRunning(say_what_to_type, service, arguments)
    reactor.run()
    return 0


def port_number(text: str) -> int:
    """The port that *text* names.

    Raises: argparse.ArgumentTypeError.
    """
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
    return int(text)


def say_what_to_type(service: FingerService, arguments: argparse.Namespace) -> None:
    """Tell the reader of the terminal what to do next."""
    port = service.address.port
    host = "localhost" if arguments.interface in {"", "127.0.0.1", "0.0.0.0"} else arguments.interface
    bracketed = f"[{host}]" if ":" in host else host
    database = make_url(arguments.db).render_as_string(hide_password=True)
    print(f"finger listens on {arguments.interface}:{port}; its people are in {database}")
    print("From another terminal, in this folder:")
    print(f"    {python()} -m examples.finger finger alice@{bracketed}:{port}")
    print(f"    printf 'alice\\r\\n' | nc {host} {port}")
    print("Ctrl-C ends it.", flush=True)


def python() -> str:
    """The Python that runs this, as it is typed in this folder."""
    relative = os.path.relpath(sys.executable)
    return shlex.quote(sys.executable if relative.startswith(os.pardir) else relative)


# ------------------------------------------------------------------------------------------------------ the database


def open_store(url: str) -> Store:
    """The store in the database at *url*; ends the program, saying why, if there cannot be one."""
    try:
        return Store.fromURL(url)
    except (ValueError, ArgumentError, ImportError) as error:
        sys.exit(f"finger: {error}")


def on_store(function: Callable[[Store, argparse.Namespace], Awaitable[None]]) -> Callable[[argparse.Namespace], int]:
    """Make a command of *function*: it is run in the reactor, with a store that is closed afterwards."""

    def command(arguments: argparse.Namespace) -> int:
        logging.basicConfig(level=logging.ERROR)  # what goes wrong is said in one line, below
        store = open_store(arguments.db)

        async def run(reactor: Any) -> None:
            try:
                await function(store, arguments)
            except (InvalidLogin, LoginTaken, UnknownLogin) as error:
                sys.exit(f"finger: {error}")
            except UnicodeError as error:
                sys.exit(f"finger: this is no text that could be stored: {error}")
            except (AsyncdbError, DBAPIError, OSError) as error:
                sys.exit(f"finger: the database is not available: {reason_of(error)}")
            finally:
                await store.close()

        react(run)

    return command


async def add(store: Store, arguments: argparse.Namespace) -> None:
    """Add somebody."""
    fields = ("login", "name", "office", "phone", "project", "plan")
    await store.add(Person(**{field: getattr(arguments, field) for field in fields}))


async def list_all(store: Store, arguments: argparse.Namespace) -> None:
    """Print everybody's login and name."""
    for person in await store.everyone():
        print(f"{clean(person.login):<32} {clean(person.name)}".rstrip())


async def show(store: Store, arguments: argparse.Namespace) -> None:
    """Print all about somebody."""
    for line in long_records(arguments.login, [await store.show(arguments.login)]):
        print(clean(line))


async def remove(store: Store, arguments: argparse.Namespace) -> None:
    """Remove somebody."""
    await store.remove(arguments.login)


# ------------------------------------------------------------------------------------------------------- the network


def ask(arguments: argparse.Namespace) -> int:
    """Ask a finger server, and print what it says."""
    try:
        target = Target.parse(arguments.target)
    except ValueError as error:
        sys.exit(f"finger: {error}")

    async def run(reactor: Any) -> None:
        try:
            print(await finger(reactor, target, arguments.long), end="")
        except (ConnectError, ConnectionClosed, DNSLookupError, TimeoutError) as error:
            sys.exit(f"finger: {target.host}:{target.port}: {error}")

    react(run)

"""Which loop the global reactor stands on: `install`, and NETCORE_REACTOR. Each case is a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.process import Spawn

NAMES = "asyncio, select, poll, epoll, kqueue and uvloop"

WHICH = """
def which():
    from netcore import reactor
    loop = reactor.loop
    return type(getattr(loop, "_selector", loop)).__name__
"""


def output_of(spawn: Spawn, source: str, **environment: str) -> str:
    program = spawn(sys.executable, "-W", "error", "-c", WHICH + source, env=environment)
    assert program.wait() == 0, program.output
    return program.output


@pytest.fixture
def no_uvloop(tmp_path: Path) -> str:
    """A PYTHONPATH on which uvloop cannot be imported."""
    (tmp_path / "uvloop.py").write_text("raise ImportError('blocked')\n")
    return str(tmp_path)


@pytest.mark.parametrize(("name", "expected"), [("uvloop", "Loop"), ("select", "SelectSelector")])
def test_install_decides_what_the_global_reactor_stands_on(spawn: Spawn, name: str, expected: str) -> None:
    source = f"""
import netcore
from netcore.reactors import install, live
assert "reactor" not in vars(netcore)
installed = install({name!r})
assert installed is netcore.reactor and live() == [installed]
installed.callWhenRunning(installed.stop)
installed.run()
print(which())
"""
    assert output_of(spawn, source) == f"{expected}\n"
    assert output_of(spawn, source, NETCORE_REACTOR="poll") == f"{expected}\n"  # install() has precedence
    assert output_of(spawn, source, NETCORE_REACTOR="nonsense") == f"{expected}\n"


@pytest.mark.parametrize("first", ["netcore.reactor", "install('poll')", "current_reactor()"])
def test_install_after_there_is_one_says_what_to_do(spawn: Spawn, first: str) -> None:
    source = f"""
import netcore
from netcore._current import current_reactor
from netcore.error import ReactorAlreadyInstalledError
from netcore.reactors import install, live
{first}
reactor = netcore.reactor
try: install("select")
except ReactorAlreadyInstalledError as error: print(error)
assert netcore.reactor is reactor and live() == [reactor]
"""
    told = output_of(spawn, source)
    assert "the global reactor exists already: <Reactor that is not running, over " in told
    assert "install('select') has to come first in the program" in told


def test_an_install_that_fails_leaves_the_choice_open(spawn: Spawn, no_uvloop: str) -> None:
    source = """
import netcore
from netcore.reactors import install, live
for wrong in ("nonsense", "uvloop"):
    try: install(wrong)
    except ValueError as error: print(error)
    assert "reactor" not in vars(netcore) and live() == []
install("select")
print(which())
"""
    told = output_of(spawn, source, PYTHONPATH=no_uvloop).splitlines()
    assert told[0] == f"there is no reactor called 'nonsense': the names are {NAMES}"
    assert told[1] == (
        "the reactor called 'uvloop' needs the package uvloop: pip install 'netcore-asyncdb[uvloop]' (blocked)"
    )
    assert told[2:] == ["SelectSelector"]


def test_of_threads_that_install_and_ask_at_once_all_get_the_same(spawn: Spawn) -> None:
    source = """
import threading, netcore
from netcore.error import ReactorAlreadyInstalledError
from netcore.reactors import install, live
barrier, made, refused = threading.Barrier(8), [], []
def get(number):
    barrier.wait()
    try: made.append(install("select") if number % 2 else netcore.reactor)
    except ReactorAlreadyInstalledError: refused.append(number)
threads = [threading.Thread(target=get, args=(number,)) for number in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert live() == [netcore.reactor] and set(made) == {netcore.reactor}
print(len(made) + len(refused), len(refused) in (3, 4))
"""
    assert output_of(spawn, source) == "8 True\n"


@pytest.mark.parametrize(
    ("name", "expected"), [("uvloop", "Loop"), ("poll", "PollSelector"), ("select", "SelectSelector")]
)
def test_the_environment_names_what_it_stands_on_where_nothing_is_installed(
    spawn: Spawn, name: str, expected: str
) -> None:
    assert output_of(spawn, "print(which())", NETCORE_REACTOR=name) == f"{expected}\n"


def test_an_empty_variable_is_as_good_as_none(spawn: Spawn) -> None:
    default = output_of(spawn, "print(which())", NETCORE_REACTOR="asyncio")
    assert output_of(spawn, "print(which())", NETCORE_REACTOR="") == default


@pytest.mark.parametrize("ask", ["from netcore import reactor", "import netcore; netcore.reactor"])
def test_a_variable_that_names_none_says_so_each_time_it_is_asked(spawn: Spawn, no_uvloop: str, ask: str) -> None:
    source = f"""
import netcore
from netcore.error import NoSuchReactor
for _ in range(2):
    try:
        {ask}
    except NoSuchReactor as error: print(error)
assert "reactor" not in vars(netcore)
"""
    wrong = output_of(spawn, source, NETCORE_REACTOR="nonsense").splitlines()
    told = f"NETCORE_REACTOR=nonsense: there is no reactor called 'nonsense': the names are {NAMES}"
    assert wrong == [told, told]
    missing = output_of(spawn, source, NETCORE_REACTOR="uvloop", PYTHONPATH=no_uvloop).splitlines()
    assert missing[0].startswith("NETCORE_REACTOR=uvloop: the reactor called 'uvloop' needs the package uvloop: pip")


def test_a_reactor_of_ones_own_does_not_heed_the_variable(spawn: Spawn) -> None:
    source = """
import selectors
from netcore.reactors import Reactor
reactor = Reactor()
print(type(reactor.loop._selector) is not selectors.SelectSelector)
reactor.dispose()
"""
    assert output_of(spawn, source, NETCORE_REACTOR="select") == "True\n"


def test_netcore_does_without_uvloop(spawn: Spawn, no_uvloop: str) -> None:
    source = """
import sys
from netcore import reactor
reactor.callWhenRunning(reactor.stop)
reactor.run()
print("uvloop" in sys.modules)
"""
    assert output_of(spawn, source, NETCORE_REACTOR="", PYTHONPATH=no_uvloop) == "False\n"


# ------------------------------------------------------------------------------------------------------- netcore run

APPLICATION = """
from netcore import reactor
from netcore.application import service
loop = reactor.loop
print("runs on", type(getattr(loop, "_selector", loop)).__name__, flush=True)
application = service.Application("which")
"""


@pytest.fixture
def application(tmp_path: Path) -> str:
    path = tmp_path / "application.py"
    path.write_text(APPLICATION)
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        (["--reactor", "uvloop"], {}, "Loop"),
        (["--reactor=select"], {"NETCORE_REACTOR": "poll"}, "SelectSelector"),
        ([], {"NETCORE_REACTOR": "poll"}, "PollSelector"),
    ],
)
def test_netcore_run_runs_on_the_reactor_that_is_named(
    spawn: Spawn, application: str, arguments: list[str], environment: Any, expected: str
) -> None:
    program = spawn.module("netcore", "run", *arguments, application, env=environment)
    assert program.wait_for(r"^runs on (\w+)")[1] == expected
    program.wait_for("SIGTERM")
    assert program.interrupt() == 0


def test_netcore_run_lists_the_names(spawn: Spawn) -> None:
    program = spawn.module("netcore", "run", "--help")
    assert program.wait() == 0
    assert "asyncio, select, poll, epoll, kqueue, uvloop" in " ".join(program.output.split())


def test_netcore_run_refuses_an_unknown_name_as_a_wrong_argument(spawn: Spawn, application: str) -> None:
    program = spawn.module("netcore", "run", "--reactor", "nonsense", application)
    assert program.wait() == 2
    assert "invalid choice: 'nonsense'" in program.output
    assert "runs on" not in program.output


@pytest.mark.parametrize(
    "text",
    [
        APPLICATION,
        "from netcore.application import service\napplication = service.Application('asks for no reactor')\n",
    ],
)
def test_netcore_run_says_in_one_line_what_it_cannot_run_on(
    spawn: Spawn, application: str, no_uvloop: str, text: str
) -> None:
    Path(application).write_text(text)
    for arguments, environment, told in (
        (["--reactor", "uvloop"], {"PYTHONPATH": no_uvloop}, "netcore: the reactor called 'uvloop' needs the package"),
        ([], {"PYTHONPATH": no_uvloop, "NETCORE_REACTOR": "uvloop"}, "netcore: NETCORE_REACTOR=uvloop: the reactor"),
        ([], {"NETCORE_REACTOR": "nonsense"}, "netcore: NETCORE_REACTOR=nonsense: there is no reactor called"),
    ):
        program = spawn.module("netcore", "run", *arguments, application, env=environment)
        assert program.wait() == 1
        assert program.output.startswith(told)
        assert program.output.count("\n") == 1

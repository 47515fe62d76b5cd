"""On, off, and free when off."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from typing import Any

import pytest

from netcore import debug, defer
from netcore.debug import _made
from netcore.defer import _debugging
from tests.support.debugging import switched

TABLE = [*_debugging._PATCHES.table, *_made.PATCHES.table]
NAMES = [f"{getattr(owner, '__name__', owner)}.{name}" for owner, name, _ in TABLE]


def now() -> list[Any]:
    return [vars(owner)[name] for owner, name, _ in TABLE]


@pytest.fixture
def originals(not_debugging: None) -> list[Any]:
    return now()


def test_disable_puts_back_the_very_same_functions(originals: list[Any]) -> None:
    debug.enable(math.inf)
    assert [name for name, was, is_now in zip(NAMES, originals, now(), strict=True) if was is is_now] == []
    debug.disable()
    assert [name for name, was, is_now in zip(NAMES, originals, now(), strict=True) if was is not is_now] == []


def test_twice_on_and_twice_off_are_on_and_off(originals: list[Any]) -> None:
    debug.enable(math.inf)
    once = now()
    debug.enable(math.inf)
    assert now() == once
    debug.disable()
    debug.disable()
    assert now() == originals


def test_is_enabled_says_so(not_debugging: None) -> None:
    assert not debug.isEnabled()
    debug.enable(math.inf)
    assert debug.isEnabled()
    debug.disable()
    assert not debug.isEnabled()


def test_the_part_of_deferreds_can_be_switched_alone(not_debugging: None) -> None:
    defer.setDebugging(True)
    assert defer.getDebugging()
    assert not debug.isEnabled()
    defer.setDebugging(False)
    assert not defer.getDebugging()


def test_switching_from_many_threads_ends_in_one_state(originals: list[Any]) -> None:
    together = threading.Barrier(4)

    def switch() -> None:
        together.wait()
        for _ in range(20):
            debug.enable(math.inf)
            debug.disable()

    threads = [threading.Thread(target=switch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not debug.isEnabled()
    assert now() == originals


@pytest.mark.parametrize("threshold", [-1.0, 0.0, math.nan])
def test_a_threshold_that_is_none_is_refused(threshold: float, not_debugging: None) -> None:
    with pytest.raises(ValueError, match="slowCallback"):
        debug.enable(threshold)
    assert not debug.isEnabled()


def test_the_watchdog_ends_when_debugging_does(not_debugging: None) -> None:
    def watchdogs() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "netcore-debug-watchdog"]

    before = watchdogs()  # one that has been told to end may be on its way
    debug.enable(60.0)
    (mine,) = [thread for thread in watchdogs() if thread not in before]
    debug.disable()
    mine.join(20.0)
    assert not mine.is_alive()


def test_nothing_is_remembered_when_it_is_off(debugging: None) -> None:
    waiting: defer.Deferred[None] = defer.Deferred()
    assert _debugging.origins.get(waiting) is not None
    debug.disable()
    assert len(_debugging.origins) == 0


def test_what_dies_is_not_remembered(debugging: None) -> None:
    before = len(_debugging.origins)
    for _ in range(1000):
        defer.Deferred().callback(None)
    assert len(_debugging.origins) == before


def run(code: str, **environment: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout


IMPORTED = "import sys, netcore; from netcore import reactor; print([m for m in sys.modules if m.startswith({!r})])"


def test_off_it_is_not_even_imported() -> None:
    assert run(IMPORTED.format("netcore.debug")) == "[]\n"


@pytest.mark.parametrize("value", ["", "0"])
def test_the_variable_may_say_no(value: str) -> None:
    assert run(IMPORTED.format("netcore.debug"), NETCORE_DEBUG=value) == "[]\n"


def test_the_variable_switches_it_on_when_netcore_is_imported() -> None:
    code = "import netcore; from netcore import debug, defer; print(debug.isEnabled(), defer.getDebugging())"
    assert run(code, NETCORE_DEBUG="1") == "True True\n"


def test_asyncios_own_debug_mode_is_left_alone() -> None:
    code = "import asyncio, netcore; from netcore import reactor; print(reactor.loop.get_debug())"
    assert run(code, NETCORE_DEBUG="1") == "False\n"


def test_a_table_that_does_not_fit_is_undone() -> None:
    from netcore._origins import Patches

    class Some:
        def there(self) -> None:
            """."""

    def wrapper(original: Any) -> Any:
        def replacement(self: Some) -> None:
            original(self)

        return replacement

    original = Some.there
    patches = Patches([(Some, "there", wrapper), (Some, "not_there", wrapper)])
    with pytest.raises(KeyError):
        patches.apply()
    assert Some.there is original
    assert not patches.applied


def test_a_test_can_switch_it_for_a_while() -> None:
    with switched(True):
        assert debug.isEnabled()

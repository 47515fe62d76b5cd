"""``pytest --loop NAME``: the event loop that all tests of a run stand on, but for those that name theirs.

One setting does it: asyncio's event loop policy, which decides what `asyncio.run`, `asyncio.Runner`,
`asyncio.new_event_loop` and, through the last, ``Reactor()`` make. (Python 3.14 deprecates policies; 3.16, where there
are none, needs a `loop_factory` in each place.) Programs that tests start learn it from the environment, which holds
for their global reactor.
"""

from __future__ import annotations

import asyncio
import contextlib
import os

import pytest

from netcore.error import NoSuchReactor
from netcore.reactors._global import VARIABLE
from netcore.reactors._names import NAMES, new_loop

DEFAULT = "asyncio"


class _Policy(asyncio.DefaultEventLoopPolicy):
    """Makes loops of one kind."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return new_loop(self._name)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--loop",
        metavar="NAME",
        choices=NAMES,
        default=DEFAULT,
        help=f"the event loop that the tests run on: {', '.join(NAMES)} (default: {DEFAULT})",
    )


def pytest_configure(config: pytest.Config) -> None:
    # Whoever runs the tests may have set it for something else.
    os.environ.pop(VARIABLE, None)
    # The first loop of uvloop opens a pipe, for signals, that stays open as long as the process: before the guard looks
    # for the first time, so that no test is blamed for it.
    with contextlib.suppress(NoSuchReactor):
        new_loop("uvloop").close()
    name = str(config.getoption("--loop"))
    if name == DEFAULT:
        return
    try:
        new_loop(name).close()
    except NoSuchReactor as error:
        raise pytest.UsageError(f"--loop: {error}") from None
    asyncio.set_event_loop_policy(_Policy(name))
    os.environ[VARIABLE] = name


def pytest_unconfigure() -> None:
    asyncio.set_event_loop_policy(None)


def pytest_report_header(config: pytest.Config) -> str:
    return f"event loop: {config.getoption('--loop')}"


@pytest.fixture
def loop_name(request: pytest.FixtureRequest) -> str:
    """The event loop of this run, by name."""
    return str(request.config.getoption("--loop"))

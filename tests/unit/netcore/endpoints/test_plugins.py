"""Kinds of endpoints that other distributions bring, by entry points; what is said of those that are broken."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from zope.interface.verify import verifyObject

from netcore.endpoints import TCP4ServerEndpoint, clientFromString, serverFromString
from netcore.interfaces import IStreamClientEndpointStringParserWithReactor, IStreamServerEndpointStringParser, provides

MODULE = """
from netcore.interfaces import (
    IStreamClientEndpointStringParserWithReactor, IStreamServerEndpointStringParser, implementer
)

class Endpoint:
    def __init__(self, *told):
        self.told = told
    def listen(self, factory): ...
    def connect(self, factory): ...

def function(reactor, *args, **kwargs):
    return Endpoint(reactor, args, kwargs)

@implementer(IStreamServerEndpointStringParser, IStreamClientEndpointStringParserWithReactor)
class Parser:
    prefix = "parsed"
    def parseStreamServer(self, reactor, port, *, mode="0"):
        return Endpoint(reactor, "server", port, mode)
    def parseStreamClient(self, reactor, *args, **kwargs):
        return Endpoint(reactor, "client", args, kwargs)

parser = Parser()

class Needy(Parser):
    def __init__(self, what): ...

def raises(reactor):
    raise ZeroDivisionError("by nothing")

def makes_nothing(reactor):
    return None

no_parser = 5
"""

ENTRY_POINTS = """
[netcore.endpoints.server]
called = example_plugin:function
Parsed = example_plugin:parser
class = example_plugin:Parser
needy = example_plugin:Needy
raises = example_plugin:raises
empty = example_plugin:makes_nothing
number = example_plugin:no_parser
missing = example_plugin:nothing
gone = example_plugin_that_is_gone:nothing
doubled = example_plugin:function
tcp = example_plugin:raises

[netcore.endpoints.client]
called = example_plugin:function
parsed = example_plugin:parser
"""


def distribution(folder: Path, name: str, entry_points: str) -> None:
    """Say in *folder* that *name* is installed there."""
    information = folder / f"{name}-1.5.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
    (information / "entry_points.txt").write_text(entry_points)


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    distribution(tmp_path, "example_plugin", ENTRY_POINTS)
    distribution(tmp_path, "another_plugin", "[netcore.endpoints.server]\ndoubled = example_plugin:function\n")
    (tmp_path / "example_plugin.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("example_plugin", None)


def test_a_function_is_called_with_the_arguments() -> None:
    reactor: Any = object()
    endpoint: Any = serverFromString(reactor, r"called:1:a\:b:c=d")
    assert endpoint.told == (reactor, ("1", "a:b"), {"c": "d"})
    endpoint = clientFromString(reactor, "CALLED")
    assert endpoint.told == (reactor, (), {})


def test_a_parser_is_asked_for_its_direction() -> None:
    server: Any = serverFromString(None, "parsed:80:mode=1")
    assert server.told == (None, "server", "80", "1")
    client: Any = clientFromString(None, "parsed:80:mode=1")
    assert client.told == (None, "client", ("80",), {"mode": "1"})
    import example_plugin  # type: ignore[import-not-found]

    assert provides(example_plugin.parser, IStreamServerEndpointStringParser)
    assert verifyObject(IStreamClientEndpointStringParserWithReactor, example_plugin.parser)


def test_of_a_class_an_object_is_made() -> None:
    """Else the first argument would pass for the reactor, and nobody would notice."""
    server: Any = serverFromString("the reactor", "class:80:mode=1")
    assert server.told == ("the reactor", "server", "80", "1")


def test_prefixes_go_before_a_plugin_too() -> None:
    endpoint: Any = serverFromString(None, "haproxy:timeout=3:called:1")
    assert endpoint._below.told == (None, ("1",), {})
    client: Any = clientFromString(None, "wrap:hostname=a.example:called:1")
    assert client._below.told == (None, ("1",), {})


def test_what_is_known_here_is_no_plugins() -> None:
    """Nothing is imported for it, even."""
    assert type(serverFromString(None, "tcp:80")) is TCP4ServerEndpoint
    assert "example_plugin" not in sys.modules


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("raises", "the plugin example_plugin:raises of example_plugin 1.5 says: ZeroDivisionError: by nothing"),
        ("raises:1", "the plugin example_plugin:raises of example_plugin 1.5 says: TypeError: "),
        ("parsed:80:bogus=1", "of example_plugin 1.5 says: TypeError: "),
        ("empty", "of example_plugin 1.5 made None, which has no listen()"),
        ("number", "of example_plugin 1.5 is neither callable nor has it a parseStreamServer"),
        ("missing", "of example_plugin 1.5 cannot be loaded: AttributeError: "),
        ("needy", "of example_plugin 1.5 cannot be loaded: TypeError: "),
        ("gone", "cannot be loaded: ModuleNotFoundError: No module named 'example_plugin_that_is_gone'"),
        ("doubled", "another_plugin 1.5 and example_plugin 1.5 both say what 'doubled' is: uninstall one"),
        ("nobodys", "there is no 'nobodys' to listen on, only tcp, "),
        ("nobodys", ", haproxy, Parsed, called, class, doubled, empty, gone, missing, needy, number, raises"),
    ],
)
def test_a_broken_plugin_is_named_with_the_string(text: str, mistake: str) -> None:
    with pytest.raises(ValueError) as caught:
        serverFromString(None, text)
    assert str(caught.value).startswith(f"endpoint string {text!r}: ")
    assert mistake in str(caught.value)

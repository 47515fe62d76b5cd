"""Names and arguments are Twisted's: a program that changes its import lines goes on.

What is compared: interfaces, method by method; functions, classes and their methods, by module; what exceptions inherit
from; and of the modules in `WHOLE`, that nothing is missing. Arguments must have the same names in the same order, and
defaults that mean the same. What we add is behind them, and optional. Twisted's declarations of interfaces leave
defaults out now and then; there, ours may have some.

`DIFFERENCES` are the deliberate ones. One that is none any more fails.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import pytest
from twisted.application import service as their_services
from twisted.internet import base as their_base
from twisted.internet import interfaces as their_interfaces
from zope.interface.interface import InterfaceClass, Method

import netcore.interfaces
from netcore._timers import DelayedCall
from netcore.failure import Failure
from netcore.interfaces import Interface

MODULES = {
    "netcore.address": "twisted.internet.address",
    "netcore.application.internet": "twisted.application.internet",
    "netcore.application.service": "twisted.application.service",
    "netcore.application.strports": "twisted.application.strports",
    "netcore.defer": "twisted.internet.defer",
    "netcore.endpoints": "twisted.internet.endpoints",
    "netcore.error": "twisted.internet.error",
    "netcore.failure": "twisted.python.failure",
    "netcore.lockfile": "twisted.python.lockfile",
    "netcore.protocol": "twisted.internet.protocol",
    "netcore.protocols.basic": "twisted.protocols.basic",
    "netcore.protocols.haproxy": "twisted.protocols.haproxy",
    "netcore.protocols.policies": "twisted.protocols.policies",
    "netcore.stdio": "twisted.internet.stdio",
    "netcore.systemd": "twisted.python.systemd",
    "netcore.task": "twisted.internet.task",
    "netcore.testing": "twisted.internet.testing",
    "netcore.threadpool": "twisted.python.threadpool",
    "netcore.threads": "twisted.internet.threads",
    "netcore.utils": "twisted.internet.utils",
}

WHOLE = ["netcore.testing"]

_WIDER = "as what a connection has in fact, there and here"
_INNER = "for the streams it is made of, not for those who use it"
_ENUM = "an Enum of Python's, which does the same by subscripts and iteration"
_AS_ITS_BASE = "the argument is called as in the class it inherits from, in Twisted too"
_AS_DECLARED = "the argument is called as in the interface"
_CLOSER = "the pool looks after its threads itself: there is nothing to be done to them from outside"

DIFFERENCES = {
    # Interfaces.
    "ITransport.disconnecting": "protocols ask for it, and every transport of Twisted's has it without saying so",
    "IProcessProtocol.makeConnection": "the argument is called as that of its implementation, in Twisted too",
    "ITCPTransport bases": f"it is a consumer and a producer, {_WIDER}",
    "IServiceCollection.__iter__": "declared as a method, which zope calls by its name there as well",
    "IServiceCollection.getServiceNamed": "the argument is called as that of its implementation, in Twisted too",
    "ILimitListener": "for ListenerLimits, which are ours",
    "IDrainable": "Twisted's services leave their connections alone",
    # Classes that inherit from something else.
    "netcore.defer.TimeoutError bases": "Python's TimeoutError too, so that `except TimeoutError` catches it",
    "netcore.failure.Failure bases": "it is no exception: raising one by mistake is a TypeError",
    "netcore.endpoints.TCP6ServerEndpoint bases": "one of the two inherits from the other, without a private base",
    # Functions and methods.
    "netcore.defer.Deferred.addTimeout": "the clock may be left out: it is the current reactor's",
    "netcore.error.getConnectError": "e would be no name for an argument; nobody but transports calls it",
    "netcore._timers.DelayedCall.__init__": "nobody but callLater makes one",
    "netcore._timers.DelayedCall.activate_delay": "moving a call to later is the business of the queue",
    "netcore.endpoints.ProcessEndpoint.__init__": "errFlag's default is the same, of another class",
    "netcore.endpoints.AdoptedStreamServerEndpoint.listen": "the argument is called as in the interface",
    "netcore.endpoints.StandardIOEndpoint.listen": "the argument is called as in the interface",
    "netcore.endpoints.StandardErrorBehavior.iterconstants": _ENUM,
    "netcore.endpoints.StandardErrorBehavior.lookupByName": _ENUM,
    "netcore.protocol.FileWrapper.writeSequence": "the argument is called as in the interface",
    "netcore.protocol.ReconnectingClientFactory.clientConnectionLost": "the argument is called as in the base class",
    "netcore.protocols.policies.ThrottlingProtocol.writeSequence": _AS_ITS_BASE,
    "netcore.protocols.policies.TimeoutProtocol.writeSequence": _AS_ITS_BASE,
    "netcore.protocols.policies.TrafficLoggingProtocol.writeSequence": _AS_ITS_BASE,
    "netcore.stdio.StandardIO.childConnectionLost": _INNER,
    "netcore.stdio.StandardIO.childDataReceived": _INNER,
    "netcore.stdio.StandardIO.connectionLost": _INNER,
    "netcore.stdio.StandardIO.readConnectionLost": _INNER,
    "netcore.stdio.StandardIO.writeConnectionLost": _INNER,
    "netcore.stdio.StandardIO.startReading": "deprecated there, for resumeProducing",
    "netcore.stdio.StandardIO.stopReading": "deprecated there, for pauseProducing",
    "netcore.systemd.ListenFDs.__init__": "no names are none; there, attrs says so with an object of its own",
    "netcore.task.Cooperator.__init__": "the defaults are the same, of another class and function",
    "netcore.testing.AccumulatingProtocol.connectionLost": "the default is that of Protocol",
    "netcore.testing.EventLoggingObserver": "logging is Python's: pytest's caplog, and assertLogs, see what is logged",
    "netcore.testing.FakeDatagramTransport.write": "no address is None, as on a real port",
    "netcore.testing.LineSendingProtocol.connectionLost": "the default is that of Protocol",
    "netcore.testing.MemoryReactor.adoptDatagramPort": _AS_DECLARED,
    "netcore.testing.MemoryReactor.adoptStreamPort": _AS_DECLARED,
    "netcore.testing.MemoryReactor.install": "no reactor has it here: netcore.reactors.install makes the global one",
    "netcore.testing.MemoryReactor.resolve": "the default is that of the interface",
    "netcore.testing.MemoryReactorClock.install": "as for MemoryReactor",
    "netcore.testing.RaisingMemoryReactor bases": "it is a MemoryReactor, and records what it does not refuse",
    "netcore.testing.RaisingMemoryReactor.adoptDatagramPort": "as for MemoryReactor",
    "netcore.testing.RaisingMemoryReactor.adoptStreamPort": _AS_DECLARED,
    "netcore.testing.StringIOWithoutClosing": "a BytesIO, for a transport over files that there is none of here",
    "netcore.threadpool.ThreadPool.currentThread": "threading.current_thread is what it is",
    "netcore.threadpool.ThreadPool.startAWorker": _CLOSER,
    "netcore.threadpool.ThreadPool.stopAWorker": _CLOSER,
}

Found = dict[str, str]


def plain(default: Any) -> Any:
    """What stands for *default* when two are compared: nothing is nothing, and an exception's class is what counts."""
    if default is None or default == () or (hasattr(default, "items") and not default):
        return None
    if isinstance(default, Failure) or type(default).__name__ == "Failure":
        return default.type.__name__
    return default


def difference(ours: inspect.Signature, theirs: inspect.Signature, declared: bool = False) -> str | None:
    """How calls that theirs takes differ from those that ours takes; None: not at all.

    Args:
        declared: theirs may have left out defaults.
    """
    variable = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    mine, other = (
        [each for each in signature.parameters.values() if each.kind not in variable] for signature in (ours, theirs)
    )
    told = f"{ours} here, {theirs} there"
    for one, two in zip(mine, other, strict=False):
        if one.name != two.name:
            return told
        if two.default is two.empty:
            if one.default is not one.empty and not declared:
                return told
        elif one.default is one.empty or plain(one.default) != plain(two.default):
            return told
    if len(mine) < len(other) or any(each.default is each.empty for each in mine[len(other) :]):
        return told
    for kind in variable:
        if any(each.kind is kind for each in theirs.parameters.values()) and not any(
            each.kind is kind for each in ours.parameters.values()
        ):
            return told
    return None


def bare(function: Any) -> inspect.Signature | None:
    """The signature without annotations; None if there is nothing to be known."""
    try:
        told = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    parameters = [each.replace(annotation=each.empty) for each in told.parameters.values()]
    return told.replace(parameters=parameters, return_annotation=inspect.Signature.empty)


def compared(where: str, ours: Any, theirs: Any) -> Found:
    one, two = bare(ours), bare(theirs)
    if one is None or two is None:
        return {}
    told = difference(one, two)
    return {where: told} if told else {}


# -------------------------------------------------------------------------------------------------------- interfaces


def interfaces() -> list[Any]:
    found = [getattr(netcore.interfaces, name) for name in netcore.interfaces.__all__]
    return [each for each in found if isinstance(each, InterfaceClass) and each is not Interface]


def of_interface(ours: Any) -> Found:
    """What differs in what *ours* itself declares."""
    name = ours.__name__
    theirs = getattr(their_interfaces, name, None) or getattr(their_services, name, None)
    if theirs is None:
        return {name: "there is none"}
    found: Found = {}
    mine, other = dict(ours.namesAndDescriptions()), dict(theirs.namesAndDescriptions(all=True))
    inherited = set(ours.names(all=True))
    for member, description in dict(theirs.namesAndDescriptions()).items():
        if member not in inherited:
            found[f"{name}.{member}"] = f"not here; there: {getattr(description, 'getSignatureString', str)()}"
    for member, description in mine.items():
        if member not in other:
            found[f"{name}.{member}"] = "only here"
        elif isinstance(description, Method) != isinstance(other[member], Method):
            found[f"{name}.{member}"] = "a method in one of the two only"
        elif isinstance(description, Method) and (
            told := difference(*map(_declared, (description, other[member])), True)
        ):
            found[f"{name}.{member}"] = told
    bases = [{each.__name__ for each in interface.__bases__} - {"Interface"} for interface in (ours, theirs)]
    if bases[0] != bases[1]:
        found[f"{name} bases"] = f"{bases[0]} here, {bases[1]} there"
    return found


def _declared(method: Any) -> inspect.Signature:
    """The signature of a zope method."""
    parameters = [
        inspect.Parameter(
            each, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=method.optional.get(each, inspect.Parameter.empty)
        )
        for each in method.positional
    ]
    if method.varargs:
        parameters.append(inspect.Parameter(method.varargs, inspect.Parameter.VAR_POSITIONAL))
    if method.kwargs:
        parameters.append(inspect.Parameter(method.kwargs, inspect.Parameter.VAR_KEYWORD))
    return inspect.Signature(parameters)


# --------------------------------------------------------------------------------------------- functions and classes


def pairs() -> Iterator[tuple[str, Any, Any]]:
    """What has the same name in a module of ours and in Twisted's, with its full name here."""
    for name, theirs in MODULES.items():
        ours, other = importlib.import_module(name), importlib.import_module(theirs)
        for each in ours.__all__:
            mine = getattr(ours, each)
            if not isinstance(mine, InterfaceClass) and hasattr(other, each):
                yield f"{name}.{each}", mine, getattr(other, each)
    yield "netcore._timers.DelayedCall", DelayedCall, their_base.DelayedCall


def methods(cls: type[Any]) -> dict[str, Any]:
    """The public methods of *cls* and what it inherits; none of Python's own."""
    return {
        name: getattr(cls, name)
        for base in reversed(cls.__mro__)
        if base.__module__ != "builtins"
        for name, value in vars(base).items()
        if not name.startswith("_") and isinstance(value, FunctionType | classmethod | staticmethod)
    }


def bases(cls: type[Any], classes: set[type[Any]]) -> list[str]:
    """What *cls* inherits from, of Python's own classes and of *classes*."""
    return [each.__name__ for each in cls.__mro__[1:-1] if each in classes or each.__module__ == "builtins"]


def of_class(where: str, ours: type[Any], theirs: type[Any]) -> Found:
    found = {} if issubclass(ours, enum.Enum) else compared(f"{where}.__init__", ours, theirs)
    inherited = bases(ours, OURS), bases(theirs, THEIRS)
    if inherited[0] != inherited[1]:
        found[f"{where} bases"] = f"{inherited[0]} here, {inherited[1]} there"
    mine = methods(ours)
    for name, method in methods(theirs).items():
        if name not in mine:
            found[f"{where}.{name}"] = "not here"
        elif not any(methods(base).get(name) is mine[name] for base in OURS & {*ours.__mro__[1:]}):  # said of that one
            found |= compared(f"{where}.{name}", mine[name], method)
    return found


def of_pair(where: str, ours: Any, theirs: Any) -> Found:
    if isinstance(ours, type) and isinstance(theirs, type):
        return of_class(where, ours, theirs)
    return compared(where, ours, theirs) if callable(ours) else {}


def missing() -> Found:
    """Names that a module of Twisted's makes public, and ours has not; what begins with _ is not meant."""
    return {
        f"{name}.{each}": "not here"
        for name in WHOLE
        for each in importlib.import_module(MODULES[name]).__all__
        if not each.startswith("_") and each not in importlib.import_module(name).__all__
    }


PAIRS = list(pairs())
OURS = {ours for _, ours, _ in PAIRS if isinstance(ours, type)}
THEIRS = {theirs for _, _, theirs in PAIRS if isinstance(theirs, type)}


@pytest.mark.parametrize("interface", interfaces(), ids=lambda interface: interface.__name__)
def test_an_interface_declares_what_twisteds_does(interface: Any) -> None:
    found = of_interface(interface)
    assert {name: told for name, told in found.items() if name not in DIFFERENCES} == {}


@pytest.mark.parametrize(("where", "ours", "theirs"), PAIRS, ids=[where for where, _, _ in PAIRS])
def test_a_function_or_class_takes_what_twisteds_does(where: str, ours: Any, theirs: Any) -> None:
    found = of_pair(where, ours, theirs)
    assert {name: told for name, told in found.items() if name not in DIFFERENCES} == {}


def test_nothing_is_missing() -> None:
    assert {name: told for name, told in missing().items() if name not in DIFFERENCES} == {}


def test_each_difference_is_one() -> None:
    found = set(missing())
    for interface in interfaces():
        found |= of_interface(interface).keys()
    for pair in PAIRS:
        found |= of_pair(*pair).keys()
    assert DIFFERENCES.keys() - found == set(), "no difference any more: take them off the list"


def test_much_is_compared() -> None:
    """Not by accident nothing."""
    assert len(PAIRS) > 80
    assert sum(len(methods(ours)) for _, ours, _ in PAIRS if isinstance(ours, type)) > 150


class TestComparing:
    def difference(self, ours: Any, theirs: Any, declared: bool = False) -> bool:
        one, two = bare(ours), bare(theirs)
        assert one is not None
        assert two is not None
        return difference(one, two, declared) is not None

    def test_the_same_is_the_same(self) -> None:
        assert not self.difference(lambda a, b=1, *args, **kw: 0, lambda a, b=1, *arguments, **keywords: 0)

    def test_another_name_or_order_is_a_difference(self) -> None:
        assert self.difference(lambda a: 0, lambda b: 0)
        assert self.difference(lambda a, b: 0, lambda b, a: 0)

    def test_one_less_is_a_difference_and_one_more_if_it_must_be_given(self) -> None:
        assert self.difference(lambda a: 0, lambda a, b: 0)
        assert self.difference(lambda a, b: 0, lambda a: 0)
        assert not self.difference(lambda a, b=None: 0, lambda a: 0)
        assert self.difference(lambda a: 0, lambda a, *args: 0)

    def test_another_default_is_a_difference(self) -> None:
        assert self.difference(lambda a=1: 0, lambda a=2: 0)
        assert self.difference(lambda a: 0, lambda a=2: 0)
        assert self.difference(lambda a=1: 0, lambda a: 0)
        assert not self.difference(lambda a=1: 0, lambda a: 0, declared=True)
        assert not self.difference(lambda a=None: 0, lambda a=(): 0)


def test_looking_at_twisted_leaves_nothing_behind() -> None:
    """No reactor, no descriptor, no thread; and no warning, or it would fail here."""
    program = f"""
import importlib, os, sys, threading
before = set(os.listdir("/dev/fd"))
for name in {sorted(MODULES.values())!r} + ["twisted.internet.base", "twisted.internet.interfaces"]:
    importlib.import_module(name)
assert "twisted.internet.reactor" not in sys.modules
assert set(os.listdir("/dev/fd")) == before
assert threading.active_count() == 1
"""
    checked = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr

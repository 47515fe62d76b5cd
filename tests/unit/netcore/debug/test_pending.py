"""What `pending` says of Deferreds and coroutines."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import pytest

from netcore import debug, defer


def found(kind: str, mark: str) -> list[debug.Pending]:
    """What is found of *kind* whose text has *mark*: others may wait in the same process."""
    return [each for each in debug.pending(kind) if mark in each.what]


def name_of(deferred: object) -> str:
    return f"{id(deferred):#x}"


def make() -> defer.Deferred[Any]:
    return defer.Deferred()


def test_a_deferred_without_a_result_waits(debugging: None) -> None:
    deferred = make()
    deferred.addCallback(str).addCallback(str)
    (waiting,) = found("deferred", name_of(deferred))
    assert waiting.what.endswith("has no result, 2 callbacks")
    assert waiting.madeAt is not None
    assert waiting.madeAt[-1].name == "make"
    assert waiting.age is not None
    assert waiting.age >= 0
    deferred.callback(None)
    assert found("deferred", name_of(deferred)) == []


def test_one_that_waits_for_another_says_so(debugging: None) -> None:
    outer, inner = make(), make()
    outer.addCallback(lambda _: inner)
    outer.callback(None)
    (waiting,) = found("deferred", f"{name_of(outer)}> waits for")
    assert f"waits for <Deferred at {name_of(inner)}>" in waiting.what
    inner.callback(None)


def test_a_paused_one_says_so(debugging: None) -> None:
    deferred = make()
    deferred.pause()
    deferred.callback(None)
    (waiting,) = found("deferred", name_of(deferred))
    assert "is paused" in waiting.what
    deferred.unpause()


def test_it_works_with_debugging_off_without_the_places(not_debugging: None) -> None:
    deferred = make()
    (waiting,) = found("deferred", name_of(deferred))
    assert waiting.madeAt is None
    assert waiting.age is None
    assert "made" not in str(waiting)
    deferred.callback(None)


def test_what_was_made_before_says_so(not_debugging: None) -> None:
    deferred = make()
    defer.setDebugging(True)
    (waiting,) = found("deferred", name_of(deferred))
    assert str(waiting).endswith("made before debugging was on")
    deferred.callback(None)


@defer.inlineCallbacks
def generator(deferred: defer.Deferred[Any]) -> Any:
    yield deferred  # here it stands


async def coroutine(deferred: defer.Deferred[Any]) -> None:
    await within(deferred)


async def within(deferred: defer.Deferred[Any]) -> None:
    await deferred  # here it stands


@pytest.mark.parametrize(("kind", "frames"), [("generator", ["generator"]), ("coroutine", ["coroutine", "within"])])
def test_a_coroutine_says_where_it_waits_and_where_it_was_started(
    kind: str, frames: list[str], debugging: None
) -> None:
    deferred = make()
    started = generator(deferred) if kind == "generator" else defer.ensureDeferred(coroutine(deferred))
    (waiting,) = found("coroutine", name_of(deferred))
    assert waiting.what == f"{kind}(), waits for <Deferred at {name_of(deferred)}>"
    assert [frame.name for frame in waiting.waitsAt] == frames
    assert (waiting.waitsAt[-1].line or "").endswith("# here it stands")
    assert waiting.madeAt is not None
    assert "started = " in (waiting.madeAt[-1].line or "")
    deferred.callback(None)
    assert found("coroutine", name_of(deferred)) == []
    assert started.called


def test_a_coroutine_that_asks_does_not_wait(debugging: None) -> None:
    async def asks(deferred: defer.Deferred[Any]) -> list[debug.Pending]:
        await deferred
        return found("coroutine", "asks()")

    deferred = make()
    asking = defer.ensureDeferred(asks(deferred))
    assert len(found("coroutine", "asks()")) == 1
    deferred.callback(None)
    assert asking.result == []


def test_the_whole_can_be_read(debugging: None) -> None:
    deferred = make()
    generator(deferred)
    file = io.StringIO()
    debug.printPending(file)
    text = file.getvalue()
    assert text.startswith("waiting: ")
    assert f"coroutine: generator(), waits for <Deferred at {name_of(deferred)}>" in text
    assert "  stands at\n  File" in text
    assert "    yield deferred  # here it stands" in text
    assert "  made at\n  File" in text
    deferred.callback(None)


def test_nothing_says_so() -> None:
    assert str(debug.PendingList()) == "nothing waits"


def test_records_are_frozen(debugging: None) -> None:
    deferred = make()
    (waiting,) = found("deferred", name_of(deferred))
    with pytest.raises(dataclasses.FrozenInstanceError):
        waiting.kind = "other"  # type: ignore[misc]
    deferred.callback(None)


def test_a_kind_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="deferred, timer"):
        debug.pending("timers")


def test_a_broken_repr_does_not_matter(debugging: None) -> None:
    class Broken:
        def __repr__(self) -> str:
            raise ZeroDivisionError

    from netcore.debug._pending import _repr

    assert "whose __repr__ raised ZeroDivisionError" in _repr(Broken())


def test_it_keeps_nothing_alive(debugging: None) -> None:
    import weakref

    deferred = make()
    report = debug.pending()
    reference = weakref.ref(deferred)
    del deferred
    assert reference() is None
    assert report

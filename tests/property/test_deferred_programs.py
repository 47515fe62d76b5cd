"""Random programs on Deferreds do what the model does, and the fast paths what the general loop does."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings

from netcore.defer import Deferred, setUnhandledFailureHook
from netcore.defer._chain import PENDING, RUNNING, claim, run_on
from netcore.defer._deferred import Target
from netcore.failure import Failure
from tests.property.deferred_programs import MODEL, NETCORE, Implementation, Program, Run, programs


class General(Deferred[Any]):
    """A Deferred with the fast paths cut out: every entry goes through the queue and the general loop."""

    def _add(self, entry: Any) -> None:
        cell = [entry, None]
        if self._more is None:
            self._more = cell
        else:
            self._tail[1] = cell
        self._tail = cell
        if claim(self):
            run_on(self)

    def addCallback(self, callback: Any, *args: Any, **kwargs: Any) -> Any:
        return self.addCallbacks(callback, None, args, kwargs)

    def callback(self, result: Any) -> None:
        if self._state != PENDING:
            self._fired_again()
            return
        self._result = result
        self._state = RUNNING
        run_on(self)

    def errback(self, fail: Any = None) -> None:
        self.callback(fail if isinstance(fail, Failure) else Failure(fail))


def chain(self: Deferred[Any], d: Deferred[Any]) -> Deferred[Any]:
    """`chainDeferred`, which would call the ``callback`` of a `General`, as of any subclass that has its own."""
    self._add(Target(d))
    return self


@pytest.fixture(autouse=True, scope="module")
def _thaw() -> Iterator[None]:
    yield
    gc.unfreeze()


def outcome(implementation: Implementation, program: Program) -> Any:
    """What the callbacks saw, the states at the end, and the failures that were reported as unhandled."""
    lost: list[Any] = []
    run: Run | None = None

    def lose(failure: Failure) -> None:  # keeps words only: a Failure holds frames, and they other Deferreds
        lost.append(run.told(failure) if run is not None else failure.type)

    gc.freeze()  # the collection below need not look at all that was there before, a hundred times as much
    logger = logging.getLogger("netcore.defer")
    previous = setUnhandledFailureHook(lose)
    logger.disabled = True
    try:
        run = Run(implementation, program)
        states = run.states()
        if implementation is MODEL:
            for d in run.pool:
                if d.called and d.chained is None and isinstance(d.value, Failure):
                    lose(d.value)
        run.pool.clear()
        gc.collect()
        return run.log, states, sorted(lost)
    finally:
        logger.disabled = False
        setUnhandledFailureHook(previous)


@settings(max_examples=200, deadline=None)
@given(programs)
def test_a_program_does_what_the_model_does(program: Program) -> None:
    assert outcome(NETCORE, program) == outcome(MODEL, program)


@settings(max_examples=200, deadline=None)
@given(programs)
def test_the_fast_paths_do_what_the_general_loop_does(program: Program) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Deferred, "chainDeferred", chain)
        general = outcome(NETCORE._replace(Deferred=General), program)
    assert outcome(NETCORE, program) == general

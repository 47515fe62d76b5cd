"""Deferreds: results that will be there later.

`Deferred` and what makes, combines and awaits them. A Deferred is awaited in a coroutine driven by netcore
(`inlineCallbacks`, `ensureDeferred`) and, as it is, in any asyncio Task.
"""

from netcore.defer._combine import FAILURE, SUCCESS, DeferredList, gatherResults
from netcore.defer._coroutines import ensureDeferred, inlineCallbacks, maybeDeferred, returnValue
from netcore.defer._deferred import Deferred, fail, succeed
from netcore.defer._errors import AlreadyCalledError, CancelledError, FirstError, NotACoroutineError, TimeoutError
from netcore.defer._unhandled import setUnhandledFailureHook

__all__ = [
    "FAILURE",
    "SUCCESS",
    "AlreadyCalledError",
    "CancelledError",
    "Deferred",
    "DeferredList",
    "FirstError",
    "NotACoroutineError",
    "TimeoutError",
    "ensureDeferred",
    "fail",
    "gatherResults",
    "inlineCallbacks",
    "maybeDeferred",
    "returnValue",
    "setUnhandledFailureHook",
    "succeed",
]

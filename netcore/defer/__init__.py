"""Deferreds: results that will be there later.

`Deferred` and what makes, combines and awaits them. A Deferred is awaited in a coroutine driven by netcore
(`inlineCallbacks`, `ensureDeferred`) and, as it is, in any asyncio Task.
"""

from netcore.defer._callbacks import logError, passthru
from netcore.defer._combine import FAILURE, SUCCESS, DeferredList, gatherResults, race
from netcore.defer._conversions import execute
from netcore.defer._coroutines import ensureDeferred, inlineCallbacks, maybeDeferred, returnValue
from netcore.defer._debugging import getDebugging, setDebugging
from netcore.defer._deferred import Deferred, fail, succeed
from netcore.defer._errors import (
    AlreadyCalledError,
    AlreadyTryingToLockError,
    CancelledError,
    FailureGroup,
    FirstError,
    NotACoroutineError,
    QueueOverflow,
    QueueUnderflow,
    TimeoutError,
)
from netcore.defer._filesystem import DeferredFilesystemLock
from netcore.defer._primitives import DeferredLock, DeferredQueue, DeferredSemaphore
from netcore.defer._unhandled import setUnhandledFailureHook

__all__ = [
    "FAILURE",
    "SUCCESS",
    "AlreadyCalledError",
    "AlreadyTryingToLockError",
    "CancelledError",
    "Deferred",
    "DeferredFilesystemLock",
    "DeferredList",
    "DeferredLock",
    "DeferredQueue",
    "DeferredSemaphore",
    "FailureGroup",
    "FirstError",
    "NotACoroutineError",
    "QueueOverflow",
    "QueueUnderflow",
    "TimeoutError",
    "ensureDeferred",
    "execute",
    "fail",
    "gatherResults",
    "getDebugging",
    "inlineCallbacks",
    "logError",
    "maybeDeferred",
    "passthru",
    "race",
    "returnValue",
    "setDebugging",
    "setUnhandledFailureHook",
    "succeed",
]

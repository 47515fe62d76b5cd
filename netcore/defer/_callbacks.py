"""Callbacks ready made."""

from __future__ import annotations

import logging
from typing import TypeVar

from netcore._log import log_failure
from netcore.failure import Failure

__all__ = ["logError", "passthru"]

T = TypeVar("T")

logger = logging.getLogger("netcore.defer")


def logError(err: Failure) -> Failure:
    """As an errback: log the failure, and pass it on."""
    log_failure(logger, err, "%s: %s", err.type.__qualname__, err.getErrorMessage())
    return err


def passthru(arg: T) -> T:
    """As a callback: pass on what comes."""
    return arg

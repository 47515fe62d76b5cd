"""What becomes of an exception that a callback raised.

Those of `ENDS_THE_PROGRAM` escape into the event loop and out of it, as they do from asyncio's. Every other is reported
in one way: level ERROR, with the traceback, from which our own frames are left out, and the Failure as the record's
``failure``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from netcore.failure import Failure, _without_our_frames

__all__ = ["ENDS_THE_PROGRAM", "log_failure"]

ENDS_THE_PROGRAM = (KeyboardInterrupt, SystemExit)


def log_failure(
    logger: logging.Logger, failure: Failure, message: str, *args: object, extra: Mapping[str, Any] | None = None
) -> None:
    """Log *failure* under *message*, which says where it came from.

    Args:
        extra: more attributes for the record.
    """
    logger.error(
        message,
        *args,
        exc_info=(failure.type, failure.value, traceback_shown(failure)),
        extra={"failure": failure, **(extra or {})},
        stacklevel=2,
    )


def traceback_shown(failure: Failure) -> TracebackType | None:
    """The traceback that is logged. (Debug mode knows more, and replaces this.)"""
    return _without_our_frames(failure.tb)

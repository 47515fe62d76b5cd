"""What becomes of an exception that a callback raised.

Those of `ENDS_THE_PROGRAM` escape into the event loop and out of it, as they do from asyncio's. Every other is reported
in one way: level ERROR, with the traceback, from which our own frames are left out, and the Failure as the record's
``failure``.

The exception's own traceback is a new one for that. Those of its causes, contexts and members are where others see
them, too; if there are frames of ours in them, the record brings along its ``exc_text``, which formatters take.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from netcore.failure import Failure, _text_without_our_frames, _without_our_frames

__all__ = ["ENDS_THE_PROGRAM", "log_failure"]

ENDS_THE_PROGRAM = (KeyboardInterrupt, SystemExit)


def log_failure(
    logger: logging.Logger, failure: Failure, message: str, *args: object, extra: Mapping[str, Any] | None = None
) -> None:
    """Log *failure* under *message*, which says where it came from.

    Args:
        extra: more attributes for the record.
    """
    if not logger.isEnabledFor(logging.ERROR):
        return
    shown = traceback_shown(failure)
    file, line, function, stack = logger.findCaller(stacklevel=2)
    record = logger.makeRecord(
        logger.name,
        logging.ERROR,
        file,
        line,
        message,
        args,
        (failure.type, failure.value, shown),
        function,
        {"failure": failure, **(extra or {})},
        stack,
    )
    try:
        record.exc_text = _text_without_our_frames(failure.value, shown)
    except Exception:  # what handlers raise concerns nobody here; nor does this
        pass
    logger.handle(record)


def traceback_shown(failure: Failure) -> TracebackType | None:
    """The traceback that is logged. (Debug mode knows more, and replaces this.)"""
    return _without_our_frames(failure.tb)

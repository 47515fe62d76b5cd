"""What becomes of an exception that a callback raised.

Those of `ENDS_THE_PROGRAM` escape into the event loop and out of it, as they do from asyncio's. Every other is reported
in one way: level ERROR, with the traceback, and the Failure as the record's ``failure``.
"""

from __future__ import annotations

import logging

from netcore.failure import Failure

__all__ = ["ENDS_THE_PROGRAM", "log_failure"]

ENDS_THE_PROGRAM = (KeyboardInterrupt, SystemExit)


def log_failure(logger: logging.Logger, failure: Failure, message: str, *args: object) -> None:
    """Log *failure* under *message*, which says where it came from."""
    logger.error(
        message,
        *args,
        exc_info=(failure.type, failure.value, failure.tb),
        extra={"failure": failure},
        stacklevel=2,
    )

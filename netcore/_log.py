"""One way to report what a callback raised: ERROR, with the traceback, and the Failure as the record's ``failure``."""

from __future__ import annotations

import logging

from netcore.failure import Failure

__all__ = ["log_failure"]


def log_failure(logger: logging.Logger, failure: Failure, message: str, *args: object) -> None:
    """Log *failure* under *message*, which says where it came from."""
    logger.error(
        message,
        *args,
        exc_info=(failure.type, failure.value, failure.tb),
        extra={"failure": failure},
        stacklevel=2,
    )

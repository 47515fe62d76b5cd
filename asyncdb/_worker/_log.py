"""Telling, in worker threads: whatever listens may fail, and the call that is told about goes on.

An exception that a filter of the program's lets out of a logger would end the thread that carries a connection, in the
middle of a step: the connection would be nobody's, and the next call on it would never be answered.
"""

from __future__ import annotations

import logging

__all__ = ["Log"]


class Log:
    """A logger that never raises.

    Args:
        name: the logger's.
    """

    __slots__ = ("_logger",)

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def tell(self, level: int, message: str, *args: object, exc_info: bool = False) -> None:
        """Log *message*."""
        try:
            self._logger.log(level, message, *args, exc_info=exc_info, stacklevel=2)
        except Exception:  # there is nobody left who could be told of it
            pass

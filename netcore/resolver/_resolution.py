"""One look-up, and its receiver: what is told, in which order, in which context.

A receiver hears ``resolutionBegan`` once, first, then of addresses, then ``resolutionComplete`` once; nothing after
that, and of no address after ``cancel``. It is told in a copy of the context (contextvars) of whoever asked. What it
raises is logged and ends nothing, except in ``resolutionBegan``, which is called by the asker's own call.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextvars import copy_context
from typing import Any

from netcore._log import ENDS_THE_PROGRAM, log_failure
from netcore.defer import CancelledError
from netcore.error import DNSLookupError
from netcore.failure import Failure
from netcore.interfaces import IHostResolution, IResolutionReceiver, implementer
from netcore.resolver._question import Address

__all__ = ["Resolution", "cancel", "lookup_error"]

logger = logging.getLogger("netcore.resolver")


@implementer(IHostResolution)
class Resolution:
    """A look-up under way.

    Args:
        stop: called if it is cancelled: gives back what the look-up holds.
    Attributes: *name*; *error*, why nothing was found, as far as is known; *over*, whether the receiver has heard
        ``resolutionComplete``.
    """

    __slots__ = ("_context", "_receiver", "_stop", "error", "name", "over")

    def __init__(self, receiver: IResolutionReceiver, name: str, stop: Callable[[], object] | None = None) -> None:
        self.name = name
        self.error: BaseException | None = None
        self.over = False
        self._receiver = receiver
        self._stop = stop
        self._context = copy_context()

    def begin(self) -> None:
        """Tell the receiver that it begins. It may cancel it, so that it is over."""
        self._receiver.resolutionBegan(self)

    def found(self, address: Address) -> None:
        """Tell of *address*, unless it is over."""
        if not self.over:
            self._tell(self._receiver.addressResolved, address)

    def complete(self, error: BaseException | None = None) -> None:
        """Tell that that was all, unless that was told.

        Args:
            error: why nothing was found.
        """
        if not self.over:
            self.over = True
            self._stop = None
            self.error = error
            self._tell(self._receiver.resolutionComplete)

    def answer(self, addresses: Iterable[Address], error: BaseException | None = None) -> None:
        """Tell of *addresses*, and that they are all."""
        for address in addresses:
            self.found(address)
        self.complete(error)

    def cancel(self) -> None:
        """Look no longer; the receiver is told that that was all. Does nothing if it has been."""
        if self.over:
            return
        stop, self._stop = self._stop, None
        self.over = True
        self.error = CancelledError(f"the look-up of {self.name!r} was cancelled")
        if stop is not None:
            stop()
        self._tell(self._receiver.resolutionComplete)

    def _tell(self, tell: Callable[..., object], *args: Any) -> None:
        context = self._context.copy()
        try:
            context.run(tell, *args)
        except ENDS_THE_PROGRAM:
            raise
        except BaseException:  # CancelledError too
            context.run(log_failure, logger, Failure(), "%r, told of the look-up of %r, raised", tell, self.name)

    def __repr__(self) -> str:
        return f"<Resolution of {self.name!r}, {'over' if self.over else 'under way'}>"


def cancel(resolution: Any) -> None:
    """Cancel *resolution*, somebody's look-up, None included."""
    if resolution is None:
        return
    try:
        resolution.cancel()
    except NotImplementedError:
        pass  # it cannot be (that of Twisted's threaded resolver, say): what it finds is ignored
    except ENDS_THE_PROGRAM:
        raise
    except BaseException:
        log_failure(logger, Failure(), "cancel() of %r raised", resolution)


def lookup_error(name: str, resolution: Any, otherwise: str) -> DNSLookupError:
    """Why the look-up of *name*, which is over, found nothing.

    Args:
        otherwise: what to say if *resolution* does not say.
    """
    cause = getattr(resolution, "error", None)
    error = DNSLookupError(f"looking up {name!r} failed: {otherwise if cause is None else cause}")
    error.__cause__ = cause
    return error

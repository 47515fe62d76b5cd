"""What a reactor opens at once, as a Deferred."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from netcore.defer import Deferred, fail, succeed
from netcore.interfaces import IListeningPort

__all__ = ["listening"]


def listening(listen: Callable[..., IListeningPort], *args: Any, **kwargs: Any) -> Deferred[IListeningPort]:
    """Call *listen* with the other arguments.

    Returns: Deferred that has fired already, with the port.
    Fails with: what *listen* raises.
    """
    try:
        return succeed(listen(*args, **kwargs))
    except Exception as error:
        return fail(error)

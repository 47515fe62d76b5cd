"""Closing connections of which nothing is known but that they are some."""

from __future__ import annotations

from typing import Any

__all__ = ["abort"]


def abort(transport: Any) -> None:
    """Close at once, if *transport* can (``abortConnection``); pipes cannot, and are told to close."""
    (getattr(transport, "abortConnection", None) or transport.loseConnection)()

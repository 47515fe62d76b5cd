"""Bytes that are given to be sent."""

from __future__ import annotations

from typing import Any

__all__ = ["as_bytes"]


def as_bytes(data: Any) -> bytes:
    """A copy of anything bytes-like: it may be changed after the call that gave it.

    Raises: TypeError: it is something else.
    """
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise TypeError(f"a transport sends bytes, not {type(data).__name__}: text must be encoded first")

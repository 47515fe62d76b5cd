"""Bytes that are given to be sent."""

from __future__ import annotations

from typing import Any

__all__ = ["as_bytes"]


def as_bytes(data: Any) -> bytes:
    """*data*, or a copy of anything else that is bytes-like: it may be changed after the call that gave it.

    Raises: TypeError: it is not bytes-like.
    """
    if type(data) is bytes:
        return data
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise TypeError(f"a transport sends bytes, not {type(data).__name__}: text must be encoded first")

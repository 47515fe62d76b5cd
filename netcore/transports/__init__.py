"""Transports: what carries a protocol's bytes, on file descriptors that a reactor's loop watches (decision 0001)."""

__all__: list[str] = []

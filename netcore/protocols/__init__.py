"""Building blocks for protocols: `netcore.protocols.basic` cuts a stream of bytes into lines."""

__all__: list[str] = []

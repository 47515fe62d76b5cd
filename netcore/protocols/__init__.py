"""Building blocks for protocols: `netcore.protocols.basic` cuts a stream of bytes into lines and strings."""

__all__: list[str] = []

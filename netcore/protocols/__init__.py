"""Building blocks for protocols, and other ways to write them.

`netcore.protocols.basic` cuts a stream of bytes into lines and strings, `netcore.protocols.stream` has it read with
``await``, `netcore.protocols.adapt` lets asyncio's protocols and netcore's take each other's place. Between a protocol
and its connection go `netcore.protocols.tls`, `netcore.protocols.policies`, `netcore.protocols.limits` (how many may
come, and how long they may take) and `netcore.protocols.haproxy` (who is behind a proxy).
"""

__all__: list[str] = []

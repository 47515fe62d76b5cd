"""Building blocks for protocols, and other ways to write them.

`netcore.protocols.basic` cuts a stream of bytes into lines and strings, `netcore.protocols.stream` has it read with
``await``, `netcore.protocols.adapt` lets asyncio's protocols and netcore's take each other's place, and
`netcore.protocols.tls` puts TLS in between.
"""

__all__: list[str] = []

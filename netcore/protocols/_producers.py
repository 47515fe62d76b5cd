"""Producers that two may hold back: whoever stands between them and a transport, and that transport."""

from __future__ import annotations

from typing import Any

__all__ = ["AskedBefore", "HeldPull", "HeldPush", "held"]


class HeldPush:
    """A streaming producer. It is told when the first of the two pauses it, and when none does any more.

    Args:
        producer: which is held.
        paused: it is already, by us.
    """

    def __init__(self, producer: Any, paused: bool = False) -> None:
        self._producer = producer
        self._by_us = self._paused = paused
        self._by_transport = False
        self._stopped = False

    def hold(self, by_us: bool) -> None:
        """We pause it, or do not any more."""
        self._by_us = by_us
        self._tell()

    def pauseProducing(self) -> None:
        """The transport pauses it."""
        self._by_transport = True
        self._tell()

    def resumeProducing(self) -> None:
        """The transport does not pause it any more."""
        self._by_transport = False
        self._tell()

    def _tell(self) -> None:
        paused = self._by_us or self._by_transport
        if paused is not self._paused and not self._stopped:
            self._paused = paused
            if paused:
                self._producer.pauseProducing()
            else:
                self._producer.resumeProducing()

    def stopProducing(self) -> None:
        """The transport has gone, or is going: nothing follows."""
        self._stopped = True
        self._producer.stopProducing()


class HeldPull:
    """A pull producer. While we hold it, that the transport asks for more is kept for later."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._held = self._asked = False

    def hold(self, by_us: bool) -> None:
        """Hold it, or let it go on."""
        self._held = by_us
        if self._asked and not by_us:
            self._asked = False
            self._producer.resumeProducing()

    def resumeProducing(self) -> None:
        """The transport asks for more."""
        if self._held:
            self._asked = True
        else:
            self._producer.resumeProducing()

    def stopProducing(self) -> None:
        """The transport has gone, or is going: nothing follows."""
        self._asked = False
        self._producer.stopProducing()


class AskedBefore:
    """A pull producer that waits for the handshake. If it was *asked* during that, it is not asked again for being
    registered with the transport."""

    def __init__(self, producer: Any, asked: bool) -> None:
        self._producer = producer
        self._asked = asked

    def resumeProducing(self) -> None:
        """The transport asks for more."""
        asked, self._asked = self._asked, False
        if not asked:
            self._producer.resumeProducing()

    def stopProducing(self) -> None:
        """The transport has gone."""
        self._producer.stopProducing()


def held(producer: Any, streaming: bool) -> HeldPush | HeldPull:
    """*producer*, so that it can be held."""
    return HeldPush(producer) if streaming else HeldPull(producer)

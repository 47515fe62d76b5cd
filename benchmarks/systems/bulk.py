"""What all bulk servers send, and the producer that netcore's and Twisted's have in common."""

from __future__ import annotations

import random
from typing import Any

ASK = 8  # bytes: how many messages are wanted, the highest first


def message(size: int) -> bytes:
    """The message of that size."""
    return random.Random(size).randbytes(size)


class Producer:
    """A push producer that writes *left* messages, and pauses when it is told to."""

    def __init__(self, transport: Any, text: bytes) -> None:
        self._transport = transport
        self._text = text
        self._paused = False
        self.left = 0

    def resumeProducing(self) -> None:
        self._paused = False
        while self.left and not self._paused:
            self.left -= 1
            self._transport.write(self._text)

    def pauseProducing(self) -> None:
        self._paused = True

    def stopProducing(self) -> None:
        self.left = 0

"""Protocols that cut a stream of bytes into lines or strings, and one that sends files.

How a stream is cut never depends on how the network cut it: the same bytes give the same lines whole, byte by byte, or
in any other pieces. The work is linear in the bytes received, however hostile they are, by two rules:

- Lines and strings are found by offset, and the bytes behind them stay where they are. Splitting off one at a time and
  copying the rest costs the square: 8.7 s for a mebibyte of empty lines.
- What is still incomplete is searched only where it was not searched before, and no further than ``MAX_LENGTH`` allows.

Memory is bounded by ``MAX_LENGTH`` and one segment of the network, unless the protocol itself feeds in more while
paused. Nothing is delivered once ``transport.loseConnection()`` was called.
"""

from netcore.protocols.basic._file import FileSender
from netcore.protocols.basic._lines import LineOnlyReceiver, LineReceiver
from netcore.protocols.basic._strings import (
    Int8StringReceiver,
    Int16StringReceiver,
    Int32StringReceiver,
    IntNStringReceiver,
    NetstringParseError,
    NetstringReceiver,
    StatefulStringProtocol,
    StringTooLongError,
)

__all__ = [
    "FileSender",
    "Int8StringReceiver",
    "Int16StringReceiver",
    "Int32StringReceiver",
    "IntNStringReceiver",
    "LineOnlyReceiver",
    "LineReceiver",
    "NetstringParseError",
    "NetstringReceiver",
    "StatefulStringProtocol",
    "StringTooLongError",
]

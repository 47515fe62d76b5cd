r"""finger, step 3: a protocol that understands lines. Whoever is asked for, there is no such user.

Run it: python examples/tutorial/finger03.py [PORT]
Try it: printf 'alice\r\n' | nc localhost 1079
"""

import sys

from netcore import endpoints, protocol, reactor
from netcore.protocols import basic


class FingerProtocol(basic.LineReceiver):
    """Reads one line, answers it, and hangs up."""

    def lineReceived(self, line: bytes) -> None:
        self.sendLine(b"No such user")
        self.transport.loseConnection()


class FingerFactory(protocol.ServerFactory):
    protocol = FingerProtocol


port = int(sys.argv[1]) if sys.argv[1:] else 1079
endpoint = endpoints.serverFromString(reactor, f"tcp:{port}:interface=127.0.0.1")
endpoint.listen(FingerFactory()).addCallback(lambda _: reactor.callWhenRunning(print, "Listening on port", port))
reactor.run()

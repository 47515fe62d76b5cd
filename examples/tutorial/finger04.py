r"""finger, step 4: the factory knows the users. What outlives a connection belongs to the factory.

Run it: python examples/tutorial/finger04.py [PORT]
Try it: printf 'alice\r\n' | nc localhost 1079
"""

import sys

from netcore import endpoints, protocol, reactor
from netcore.protocols import basic


class FingerProtocol(basic.LineReceiver):
    """Reads a name, answers with what the factory knows about it, and hangs up."""

    def lineReceived(self, line: bytes) -> None:
        self.sendLine(self.factory.getUser(line))
        self.transport.loseConnection()


class FingerFactory(protocol.ServerFactory):
    """Knows the users: login to status."""

    protocol = FingerProtocol

    def __init__(self, users: dict[bytes, bytes]) -> None:
        self.users = users

    def getUser(self, user: bytes) -> bytes:
        return self.users.get(user, b"No such user")


port = int(sys.argv[1]) if sys.argv[1:] else 1079
endpoint = endpoints.serverFromString(reactor, f"tcp:{port}:interface=127.0.0.1")
factory = FingerFactory({b"alice": b"Down the rabbit hole"})
endpoint.listen(factory).addCallback(lambda _: reactor.callWhenRunning(print, "Listening on port", port))
reactor.run()

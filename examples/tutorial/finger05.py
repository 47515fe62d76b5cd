r"""finger, step 5: the answer may take its time. getUser returns a Deferred; callbacks go on when it has its result.

This getUser knows the answer at once, but the protocol cannot tell: a database could be asked in its place.

Run it: python examples/tutorial/finger05.py [PORT]
Try it: printf 'alice\r\n' | nc localhost 1079
"""

import sys

from netcore import defer, endpoints, protocol, reactor
from netcore.failure import Failure
from netcore.protocols import basic


class FingerProtocol(basic.LineReceiver):
    """Asks the factory, and answers when it has."""

    def lineReceived(self, line: bytes) -> None:
        asking = self.factory.getUser(line)
        asking.addErrback(self.notFound)  # a failure comes here, and leaves as a result
        asking.addCallback(self.answer)  # a result comes here

    def notFound(self, failure: Failure) -> bytes:
        failure.trap(KeyError)  # whatever else went wrong stays a failure, and is logged
        return b"No such user"

    def answer(self, status: bytes) -> None:
        self.sendLine(status)
        self.transport.loseConnection()


class FingerFactory(protocol.ServerFactory):
    """Knows the users: login to status."""

    protocol = FingerProtocol

    def __init__(self, users: dict[bytes, bytes]) -> None:
        self.users = users

    def getUser(self, user: bytes) -> defer.Deferred[bytes]:
        if user not in self.users:
            return defer.fail(KeyError(user))
        return defer.succeed(self.users[user])


port = int(sys.argv[1]) if sys.argv[1:] else 1079
endpoint = endpoints.serverFromString(reactor, f"tcp:{port}:interface=127.0.0.1")
factory = FingerFactory({b"alice": b"Down the rabbit hole"})
endpoint.listen(factory).addCallback(lambda _: reactor.callWhenRunning(print, "Listening on port", port))
reactor.run()

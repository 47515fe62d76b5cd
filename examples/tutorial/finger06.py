r"""finger, step 6: an application. What to run is said here; running it, logging and stopping are left to `netcore
run`.

Started by root it would listen on port 79 and then become another user: say which with FINGER_UID and FINGER_GID.

Run it: netcore run examples/tutorial/finger06.py    (the port: PORT=1079)
Try it: printf 'alice\r\n' | nc localhost 1079
"""

import os

from netcore import defer, protocol
from netcore.application import service, strports
from netcore.failure import Failure
from netcore.protocols import basic


class FingerProtocol(basic.LineReceiver):
    """Asks the factory, and answers when it has."""

    def lineReceived(self, line: bytes) -> None:
        self.factory.getUser(line).addErrback(self.notFound).addCallback(self.answer)

    def notFound(self, failure: Failure) -> bytes:
        failure.trap(KeyError)
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


application = service.Application(
    "finger",
    uid=int(os.environ.get("FINGER_UID", os.getuid())),
    gid=int(os.environ.get("FINGER_GID", os.getgid())),
)
factory = FingerFactory({b"alice": b"Down the rabbit hole"})
listener = strports.service(f"tcp:{os.environ.get('PORT', '1079')}:interface=127.0.0.1", factory)
listener.setServiceParent(application)

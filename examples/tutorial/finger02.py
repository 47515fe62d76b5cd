"""finger, step 2: an endpoint that accepts connections, and a protocol that has nothing to say on them.

Run it: python examples/tutorial/finger02.py [PORT]
Try it: nc localhost 1079
"""

import sys

from netcore import endpoints, protocol, reactor


class FingerProtocol(protocol.Protocol):
    """One of these is made for each connection. It takes what is sent, and answers nothing."""


class FingerFactory(protocol.ServerFactory):
    """Makes the protocols; there is one factory, however many connections come and go."""

    protocol = FingerProtocol


port = int(sys.argv[1]) if sys.argv[1:] else 1079
endpoint = endpoints.serverFromString(reactor, f"tcp:{port}:interface=127.0.0.1")
endpoint.listen(FingerFactory()).addCallback(lambda _: reactor.callWhenRunning(print, "Listening on port", port))
reactor.run()

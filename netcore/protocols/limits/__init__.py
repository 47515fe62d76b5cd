"""What a listener takes upon itself: one object that says how many may come, and how long they may take.

::

    limits = ListenerLimits(connections=500, idle=30)
    endpoint = limits.wrapEndpoint(serverFromString(reactor, "tcp:7979"))
    endpoint.listen(factory)
    ...
    print(limits.counters())

A connection is always in one of five phases, and each has its limit:

=====================  ==============================================================  =====================
phase                  begins                                                          limit
=====================  ==============================================================  =====================
handshake              with the connection, if that is TLS from its first byte on      *handshake*
waiting for the first  with the connection, or when the handshake is through           *firstByte*
request                with its first byte: the first of the connection, or the first  *request*, and
                       after an answer                                                 *minimumRate*
answer                 when the protocol says that the request is complete             none: it is our turn
idle                   when it is answered; anew with all that is written              *idle*
=====================  ==============================================================  =====================

Where requests end only the protocol knows. It says so by `requestReceived` and `requestAnswered`. If it does not, what
it writes is taken for the answer: a request ends with the next write, and idle time begins. So a protocol has to say it
if it works for long on an answer, or if its peers may send for long without any; else they are closed in the midst.

While the protocol has paused its transport nothing is awaited of the peer, and none of these but *handshake* runs on.
Nor once the connection is closing, or the peer has said that it sends no more, and waits for its answer.

In all phases what was written has to be taken: at *minimumRate*, and no more than *buffer* may wait.

None of it costs a timer per event: a connection has one, which is moved when it has come up.
"""

from netcore.protocols.limits._counting import LimitCounters, LimitExceeded
from netcore.protocols.limits._limited import requestAnswered, requestReceived
from netcore.protocols.limits._options import ListenerLimits

__all__ = ["LimitCounters", "LimitExceeded", "ListenerLimits", "requestAnswered", "requestReceived"]

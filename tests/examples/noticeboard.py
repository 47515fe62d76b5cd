"""A notice board: a small program for Twisted, written against its documentation, that serves and is its own user.

Whoever connects to the board says who he is, pins notices to topics, reads them, and waits for the next one. What is
pinned goes to the subscribers of a second port as well. A datagram asks whether the board is there. The program serves
all of it on free ports of the loopback, plays a morning at the board from beginning to end, prints what happens, and
exits.

`test_coming_from_twisted.py` runs it twice, on Twisted and, with its import lines changed as docs/from-twisted.md says
and nothing else, on netcore, and compares what it printed.
"""

import sys

from twisted.application import service
from twisted.application.internet import ClientService, TimerService, backoffPolicy
from twisted.internet import defer, error, protocol, reactor, task, threads, utils
from twisted.internet.endpoints import TCP4ClientEndpoint, clientFromString, connectProtocol, serverFromString
from twisted.protocols import basic, policies
from twisted.python.failure import Failure


def say(who, *what):
    print(f"{who}:", *what, flush=True)


# The board itself: no network in it.


class NoSuchTopic(Exception):
    pass


class Board:
    """Notices by topic, those who wait for the next one, and those who are told of every one."""

    def __init__(self):
        self.topics = {}
        self.waiting = {}
        self.listeners = []
        self.lock = defer.DeferredLock()

    def pin(self, topic, author, text):
        """Pin a notice. The Deferred fires with its number when all who wait have been told."""
        return self.lock.run(self._pin, topic, author, text)

    @defer.inlineCallbacks
    def _pin(self, topic, author, text):
        notices = self.topics.setdefault(topic, [])
        yield task.deferLater(reactor, 0.001, notices.append, (author, text))
        for waiting in self.waiting.pop(topic, []):
            waiting.callback((author, text))
        for listener in list(self.listeners):
            listener(topic, author, text)
        return len(notices)

    def read(self, topic):
        if topic not in self.topics:
            raise NoSuchTopic(topic)
        return list(self.topics[topic])

    def wait(self, topic):
        """A Deferred of the next notice; cancelling it waits no longer."""
        others = self.waiting.setdefault(topic, [])
        others.append(defer.Deferred(others.remove))
        return others[-1]


def count_words(notices):
    """Slow, for a thread."""
    return sum(len(text.split()) for _, text in notices)


# The conversation of those who read and write: lines, and a notice's text as raw bytes.


class BoardProtocol(basic.LineReceiver, policies.TimeoutMixin):
    delimiter = b"\n"
    MAX_LENGTH = 80
    patience = 60

    def connectionMade(self):
        self.name = None
        self.waiting = None
        self.setTimeout(self.patience)
        self.sendLine(b"welcome")

    def lineReceived(self, line):
        self.resetTimeout()
        verb, *arguments = line.decode("utf-8").split(" ")
        handler = getattr(self, f"do_{verb}", None)
        if handler is None:
            self.answer(f"what is {verb}?")
            return
        d = defer.maybeDeferred(handler, *arguments)
        d.addCallback(self.answer)
        d.addErrback(self.explain)

    def answer(self, text):
        if text is not None:
            self.sendLine(str(text).encode("utf-8"))

    def explain(self, failure):
        if failure.check(defer.CancelledError):
            return
        problem = failure.trap(NoSuchTopic, TypeError, ValueError)
        if problem is NoSuchTopic:
            self.answer(f"nothing about {failure.getErrorMessage()}")
        else:
            self.answer("that cannot be understood")

    def lineLengthExceeded(self, line):
        self.answer("too long")
        self.transport.loseConnection()

    def do_hello(self, name):
        self.name = name
        return f"hello {name}"

    def do_pin(self, topic, length):
        self.topic, self.missing, self.parts = topic, int(length), []
        self.setRawMode()

    def rawDataReceived(self, data):
        taken, rest = data[: self.missing], data[self.missing :]
        self.parts.append(taken)
        self.missing -= len(taken)
        if self.missing == 0:
            d = self.factory.board.pin(self.topic, self.name, b"".join(self.parts).decode("utf-8"))
            d.addCallback(lambda number: self.answer(f"pinned as {number}"))
            self.setLineMode(rest)

    def do_read(self, topic):
        for author, text in self.factory.board.read(topic):
            self.answer(f"{author}: {text}")
        return "that is all"

    def do_wait(self, topic):
        self.waiting = self.factory.board.wait(topic)
        return self.waiting.addCallback(lambda notice: "{}: {}".format(*notice))

    def do_words(self, topic):
        d = threads.deferToThread(count_words, self.factory.board.read(topic))
        return d.addCallback("{} words".format)

    def do_bye(self):
        self.answer("bye")
        self.transport.loseConnection()

    def timeoutConnection(self):
        self.answer("nobody there?")
        self.transport.loseConnection()

    def connectionLost(self, reason):
        self.setTimeout(None)
        if self.waiting is not None:
            self.waiting.cancel()
        self.factory.left.put(f"{self.name or 'somebody'} left, {reason.type.__name__}")


class BoardFactory(protocol.Factory):
    protocol = BoardProtocol
    noisy = False

    def __init__(self, board):
        self.board = board
        self.left = defer.DeferredQueue()

    def startFactory(self):
        say("board", "opens")

    def stopFactory(self):
        say("board", "closes")


# The feed: every notice, as netstrings, to whoever connects.


class FeedProtocol(basic.NetstringReceiver):
    def connectionMade(self):
        self.factory.board.listeners.append(self.tell)

    def tell(self, topic, author, text):
        for part in (topic, author, text):
            self.sendString(part.encode("utf-8"))

    def stringReceived(self, string):
        if string == b"throw me out":
            self.transport.abortConnection()

    def connectionLost(self, reason):
        self.factory.board.listeners.remove(self.tell)


class FeedFactory(protocol.Factory):
    protocol = FeedProtocol
    noisy = False

    def __init__(self, board):
        self.board = board


class Subscriber(basic.NetstringReceiver):
    def connectionMade(self):
        self.parts = []

    def stringReceived(self, string):
        self.parts.append(string.decode("utf-8"))
        if len(self.parts) == 3:
            notice, self.parts = self.parts, []
            self.factory.notices.put(notice)

    def connectionLost(self, reason):
        say("subscriber", "lost the feed:", bool(reason.check(error.ConnectionLost, error.ConnectionDone)))


class SubscriberFactory(protocol.Factory):
    protocol = Subscriber
    noisy = False

    def __init__(self):
        self.notices = defer.DeferredQueue()


class Beacon(protocol.DatagramProtocol):
    noisy = False

    def datagramReceived(self, datagram, addr):
        self.transport.write(datagram.upper(), addr)


class Asker(protocol.DatagramProtocol):
    noisy = False

    def __init__(self, port):
        self.port = port
        self.answer = defer.Deferred()

    def startProtocol(self):
        self.transport.connect("127.0.0.1", self.port)
        self.transport.write(b"there?")

    def datagramReceived(self, datagram, addr):
        self.answer.callback(datagram)


# One of those who come in the morning.


class Visitor(basic.LineReceiver):
    delimiter = b"\n"

    def __init__(self):
        self.lines = defer.DeferredQueue()
        self.gone = defer.Deferred()

    def lineReceived(self, line):
        self.lines.put(line.decode("utf-8"))

    @defer.inlineCallbacks
    def ask(self, line):
        self.sendLine(line.encode("utf-8"))
        answer = yield self.lines.get()
        say(self.name, line, "->", answer)
        return answer

    def connectionLost(self, reason):
        self.gone.callback(reason.type.__name__)


@defer.inlineCallbacks
def visit(port, name):
    visitor = yield connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), Visitor())
    visitor.name = name
    say(name, "hears", (yield visitor.lines.get()))
    yield visitor.ask(f"hello {name}")
    return visitor


@defer.inlineCallbacks
def morning(reactor, *arguments):
    board = Board()
    whole = service.MultiService()

    # Ports are opened first, so that we know which they are; a service closes them.
    factory, feed = BoardFactory(board), FeedFactory(board)
    board_port = yield serverFromString(reactor, r"tcp:0:interface=127.0.0.1").listen(policies.WrappingFactory(factory))
    feed_port = yield serverFromString(reactor, "tcp:port=0:interface=127.0.0.1").listen(feed)
    number = board_port.getHost().port

    hours = []
    clock = TimerService(0.001, hours.append, "an hour")
    clock.setName("clock")
    clock.setServiceParent(whole)
    subscriber = SubscriberFactory()
    follow = ClientService(
        clientFromString(reactor, f"tcp:host=127.0.0.1:port={feed_port.getHost().port}"),
        subscriber,
        retryPolicy=backoffPolicy(initialDelay=0.01, factor=1.0, jitter=lambda: 0),
    )
    follow.setServiceParent(whole)
    whole.startService()
    yield follow.whenConnected()
    say("morning", "begins with", sorted(each.name or "a client" for each in whole))

    # Two visitors; one waits for what the other pins.
    ada = yield visit(number, "ada")
    ben = yield visit(number, "ben")
    yield ada.ask("read cats")
    ben.sendLine(b"wait cats")
    text = b"Found: a grey cat.\nAsk in the kitchen."
    ada.sendLine(b"pin cats %d" % len(text))
    ada.transport.writeSequence([text[:5], text[5:]])
    pinned, told = yield defer.gatherResults([ada.lines.get(), ben.lines.get()])
    say("ada", "is told", pinned)
    say("ben", "is told", told, "and", (yield ben.lines.get()))
    say("subscriber", "is told", (yield subscriber.notices.get()))
    yield ada.ask("words cats")
    yield ben.ask("dance")
    yield ben.ask("pin cats many")
    yield ben.ask("hello")

    # The feed is lost, and found again.
    connection = yield follow.whenConnected()
    connection.sendString(b"throw me out")
    while (yield follow.whenConnected()) is connection:
        yield task.deferLater(reactor, 0.001)
    yield board.pin("cats", "the house", "The cat is gone")
    say("subscriber", "is told", (yield subscriber.notices.get()))

    # Those who leave, and those who are sent away.
    yield ada.ask("bye")
    say("ada", "is gone:", (yield ada.gone))
    say("board", (yield factory.left.get()))
    ben.sendLine(b"wait dogs")
    ben.sendLine(b"x" * 200)
    say("ben", "is told", (yield ben.lines.get()))
    say("ben", "is gone:", (yield ben.gone))
    say("board", (yield factory.left.get()))
    BoardProtocol.patience = 0.01
    eve = yield connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", number), Visitor())
    say("eve", "hears", (yield eve.lines.get()), "and", (yield eve.lines.get()))
    say("eve", "is gone:", (yield eve.gone))
    say("board", (yield factory.left.get()))

    # Datagrams, a child process, work in turns, something that takes too long, a port nobody listens on.
    beacon = reactor.listenUDP(0, Beacon(), interface="127.0.0.1")
    asker = Asker(beacon.getHost().port)
    asking = reactor.listenUDP(0, asker, interface="127.0.0.1")
    say("beacon", "answers", (yield asker.answer))
    yield defer.DeferredList([defer.maybeDeferred(port.stopListening) for port in (beacon, asking)])
    say("child", (yield utils.getProcessOutput(sys.executable, ["-c", "print(6 * 7)"])))
    steps = []
    yield defer.gatherResults([task.cooperate(steps.append(k) for k in range(n)).whenDone() for n in (2, 3)])
    say("turns", sorted(steps))
    try:
        yield board.wait("never").addTimeout(0.01, reactor)
    except defer.TimeoutError:
        say("nobody", "pinned anything in time")
    yield board_port.stopListening()
    try:
        yield visit(number, "too late")
    except error.ConnectionRefusedError:
        say("too late", "finds the door closed")
    results = yield defer.DeferredList([defer.succeed(1), defer.fail(NoSuchTopic("dogs"))], consumeErrors=True)
    say("results", [value.type.__name__ if isinstance(value, Failure) else value for _, value in results])

    # The end.
    ticks = []
    loop = task.LoopingCall.withCount(lambda count: ticks.append(count) or (len(ticks) == 3 and loop.stop()))
    yield loop.start(0.001)
    say("clock", "ticked:", len(ticks) == 3, len(hours) > 0)
    yield whole.stopService()
    yield feed_port.stopListening()
    say("morning", "still goes on" if whole.running else "is over")


if __name__ == "__main__":
    task.react(morning, sys.argv[1:])

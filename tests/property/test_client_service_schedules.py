"""Whatever happens to the network and to the server, in whatever order: a ClientService has one connection at most, has
one again when it can have one, and does nothing in vain.

What happens is left to chance, by a seed; when, to a virtual clock. By hand, for more: ``python -m
tests.property.test_client_service_schedules 10000`` (schedules, from seed 0 on).
"""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass
from typing import Any

import pytest

from netcore.application.internet import ClientService, backoffPolicy
from netcore.defer import Deferred
from netcore.endpoints import TCP4ClientEndpoint
from netcore.failure import Failure
from netcore.protocol import Factory, Protocol, connectionDone
from netcore.task import LoopingCall, deferLater
from netcore.testing.network import FakeNetwork, Host

PORT = 80
STEPS = 6  # things that happen, one after the other
PAUSE = 60.0  # seconds between them, at most
BEAT = 20.0  # seconds between two questions of the client, so that it notices a connection that is dead
GIVES_UP = 60.0  # seconds in which it does
# backoffPolicy's default: 1 * 1.5 s after the first failure, plus up to 1 s by chance; 60 s in the end.
LEAST_DELAY, LONGEST_DELAY = 1.5, 61.0
TIMEOUT = 30.0  # of the endpoint
# The connection is dead, which is noticed; then one more attempt fails, and the next one after the longest delay does
# not.
RECOVERY = BEAT + GIVES_UP + TIMEOUT + LONGEST_DELAY + 1


class Echo(Protocol):
    def connectionMade(self) -> None:
        self.factory.standing.append(self)

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.standing.remove(self)


class Asking(Protocol):
    """Asks again and again, and tells its world when it was answered."""

    def connectionMade(self) -> None:
        self.world: World = self.factory.world
        self.world.standing += 1
        self.world.most = max(self.world.most, self.world.standing)
        self.world.made += 1
        self.asking = LoopingCall(self.transport.write, b"?")
        self.asking.clock = self.world.client
        self.asking.start(BEAT)

    def dataReceived(self, data: bytes) -> None:
        self.world.answered = self.world.net.seconds()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.world.standing -= 1
        self.asking.stop()


@dataclass
class Seen:
    """What there was in one schedule, or in several."""

    schedules: int = 0
    seconds: float = 0.0
    attempts: int = 0
    made: int = 0
    turns: int = 0

    def add(self, other: Seen) -> None:
        for name in vars(self):
            setattr(self, name, getattr(self, name) + getattr(other, name))


class World:
    """A server, and a ClientService on another host. Counted are connections,
    *standing* and at *most*; *attempts*, and those that were made too *quick*ly; and *turns* of the loop."""

    def __init__(self, net: FakeNetwork) -> None:
        self.net = net
        self.standing = self.most = self.made = 0
        self.answered = -1.0
        self.server, self.client = net.host("10.0.0.1"), net.host("10.0.0.2")
        self.echo: Any = Factory.forProtocol(Echo)
        self.echo.noisy = False
        self.serve(self.server)
        factory: Any = Factory.forProtocol(Asking)
        factory.noisy = False
        factory.world = self
        endpoint = TCP4ClientEndpoint(self.client, self.server.address, PORT, timeout=TIMEOUT)
        policy = backoffPolicy(jitter=net.random.random)  # else a schedule could not be had again by its seed
        self.service = ClientService(endpoint, factory, policy, self.client, self.prepare)
        self.preparing = "at once"
        self.turns = self.attempts = self.quick = 0
        self.left: float | None = -LEAST_DELAY  # when the last socket was closed; None: there is one
        select = net.loop._selector.select  # type: ignore[attr-defined]
        new_socket = self.client._new_socket

        def counting(timeout: float | None = None) -> Any:
            self.turns += 1
            return select(timeout)

        def watching(family: int) -> Any:
            sock = new_socket(family)
            close, now = sock.close, net.seconds()
            assert self.left is not None, "there is another connection, or attempt"
            self.attempts += 1
            self.quick += now - self.left < LEAST_DELAY
            self.left = None

            def closing() -> None:
                self.left = net.seconds()
                close()

            sock.close = closing
            return sock

        self.client._new_socket = watching  # type: ignore[method-assign]

        net.loop._selector.select = counting  # type: ignore[attr-defined]

    def serve(self, host: Host) -> None:
        self.server, self.echo.standing = host, []
        self.port = host.listenTCP(PORT, self.echo)

    def prepare(self, protocol: Asking) -> Deferred[None] | None:
        if self.preparing == "fails":
            raise LookupError("not prepared")
        return deferLater(self.client, 5) if self.preparing == "takes its time" else None

    # What may happen.

    def refuse(self) -> None:
        self.net.refuse(self.server, PORT)

    def ignore(self) -> None:
        self.net.ignore(self.server, PORT)

    def accept(self) -> None:
        self.net.accept(self.server, PORT)

    def partition(self) -> None:
        self.net.partition(self.server, self.client)

    def heal(self) -> None:
        self.net.heal()

    def heal_with_resets(self) -> None:
        self.net.heal(reset=True)

    def reset(self) -> None:
        for connection in self.net.connections():
            connection.reset()

    def silence(self) -> None:
        for connection in self.net.connections():
            connection.silence()

    def server_closes(self) -> None:
        for protocol in list(self.echo.standing):
            protocol.transport.loseConnection()

    def server_aborts(self) -> None:
        for protocol in list(self.echo.standing):
            protocol.transport.abortConnection()

    def server_crashes(self) -> None:
        address = self.server.address
        self.net.crash(self.server)
        self.net.advance(self.net.random.random() * PAUSE)
        self.serve(self.net.host(address))

    def server_stops_listening(self) -> None:
        self.port.stopListening()
        self.net.advance(self.net.random.random() * PAUSE)
        self.port.startListening()

    def service_begins_anew(self) -> None:
        self.service.stopService()
        self.net.advance(self.net.random.choice([0.0, 0.01, 5.0]))
        self.service.startService()

    def preparing_changes(self) -> None:
        self.preparing = self.net.random.choice(["at once", "takes its time", "fails"])

    def the_way_gets_worse(self) -> None:
        random = self.net.random
        self.net.link(self.server, self.client, latency=random.random(), jitter=random.random(), loss=0.3)

    HAPPENS = (
        *(refuse, ignore, accept, partition, heal, heal_with_resets, reset, silence, server_closes, server_aborts),
        *(server_crashes, server_stops_listening, service_begins_anew, preparing_changes, the_way_gets_worse),
    )


def schedule(seed: int) -> Seen:
    """Have things happen, and then no more; see that all is well. Returns: what there was."""
    with FakeNetwork(seed, latency=0.01, jitter=0.05, givesUp=GIVES_UP) as net:
        world = World(net)
        world.service.startService()
        restarts = 0
        for _ in range(STEPS):
            what = net.random.choice(world.HAPPENS)
            restarts += what is World.service_begins_anew
            what(world)
            net.advance(net.random.random() * PAUSE)

        net.heal()
        world.accept()
        world.preparing = "at once"
        net.link(world.server, world.client, latency=0.01, jitter=0.05, loss=0.0)
        # Always reconnecting: there is a connection, it is alive, and stays; nothing is left but to ask again.
        healed = net.seconds()
        net.advance(BEAT)
        while net.seconds() - world.answered > BEAT:
            assert net.seconds() - healed < RECOVERY, net.log
            net.advance(BEAT)
        net.advance(2 * BEAT)
        assert world.standing == 1, net.log
        assert net.seconds() - world.answered < 2 * BEAT, net.log
        assert len(world.client.getDelayedCalls()) == 1, net.log
        assert net.runUntil(world.service.whenConnected()).world is world
        # Never two.
        assert world.most == 1  # and no two sockets: `World`
        # Never busy: between two attempts there is the policy's least delay, but where the user began anew; and the
        # loop turns for what happens only.
        assert world.quick <= restarts, net.log
        beats = net.seconds() / BEAT + world.made
        assert world.turns < 20 * (world.attempts + beats + STEPS), (world.turns, world.attempts, beats)
        seen = Seen(1, net.seconds(), world.attempts, world.made, world.turns)
        net.runUntil(world.service.stopService() or Deferred())
        net.advance(1)
        assert world.standing == 0
        return seen


BATCH = 100


@pytest.mark.parametrize("first", range(0, 1000, BATCH))
def test_schedules(first: int) -> None:
    seen = Seen()
    for seed in range(first, first + BATCH):
        seen.add(schedule(seed))
    assert seen.made > BATCH  # else nothing was tried


def test_a_seed_says_all() -> None:
    assert [schedule(seed) for seed in range(5)] == [schedule(seed) for seed in range(5)]


def main(schedules: int) -> None:
    logging.disable()
    begun, seen = time.process_time(), Seen()
    for seed in range(schedules):
        seen.add(schedule(seed))
    print(f"{seen}, in {time.process_time() - begun:.1f} s of processor time")


if __name__ == "__main__":
    main(int(sys.argv[1]))

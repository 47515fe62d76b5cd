"""TCP, there and back, and one way: what a server's process spends on a message. The client is a process of its own,
the same for all."""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from benchmarks.figures import Figure, Round
from benchmarks.process import WorkerFailed, WorkerProcess
from benchmarks.scenarios.base import SYSTEMS, Bench, Entry, Scenario, Unavailable

CONNECTIONS = 20


class StreamBench(Bench):
    """A client, in a process of its own, and where each server listens."""

    def __init__(self, client: WorkerProcess, description: str) -> None:
        super().__init__(description, {})
        self._client = client
        self._ports: dict[WorkerProcess, int] = {}

    def start(self, worker: WorkerProcess, entry: Entry) -> None:
        """Start a server."""
        self._ports[worker] = self.start_system(worker, entry)["port"]

    def round(self, worker: WorkerProcess, operations: int) -> Round:
        """The client's round, with the processor time of the server. Connecting and closing are left out."""
        try:
            self._client.ask("call", method="connect", arguments={"port": self._ports[worker]})
            before = worker.ask("processor_time")
            measured = self._client.ask("round", operations=operations)
            after = worker.ask("processor_time")
            self._client.ask("call", method="disconnect", arguments={})
        except WorkerFailed as error:
            raise WorkerFailed(f"with {worker.name}: {error}") from error
        return Round(**{**measured, "cpu_seconds": after - before})


@dataclass(frozen=True)
class Stream(Scenario):
    """Bytes between a server and *client*, "module:Class" under `benchmarks.systems`, in messages of *size* bytes."""

    client: str
    size: int
    connections: int
    what: str

    @contextmanager
    def open(self) -> Iterator[Bench]:
        """The client, not connected."""
        if not hasattr(select, "epoll"):
            raise Unavailable("the client waits by epoll, which this system does not have")
        with closing(WorkerProcess(f"the client of {self.name}")) as client:
            arguments = {"connections": self.connections, "size": self.size}
            client.ask("start", factory=f"{SYSTEMS}.{self.client}", arguments=arguments)
            yield StreamBench(client, f"{self.connections} connections on loopback, {self.what}")


def _systems(module: str, **arguments: bool) -> tuple[Entry, ...]:
    return (
        Entry("netcore", f"{module}_netcore:Server", {**arguments}),
        Entry("netcore-uvloop", f"{module}_netcore:Server", {"loop": "uvloop", **arguments}),
        Entry("twisted", f"{module}_twisted:Server", {**arguments}),
        Entry("asyncio", f"{module}_asyncio:Server", {**arguments}),
        Entry("asyncio-uvloop", f"{module}_asyncio:Server", {"loop": "uvloop", **arguments}),
    )


def _echo(name: str, size: int, more: tuple[Entry, ...] = ()) -> Stream:
    return Stream(
        name,
        f"TCP echo: processor time of the server per message of {size} bytes",
        Figure.CPU,
        _systems("echo") + more,
        "echo_client:Client",
        size,
        CONNECTIONS,
        f"each with one message of {size} bytes under way",
    )


ECHO = _echo("echo", 1024, (Entry("bare-epoll", "echo_epoll:Server"),))
ECHO_SMALL = _echo("echo-64", 64)
ECHO_LARGE = _echo("echo-100k", 100 * 1024)

BULK_SIZE = 16 * 1024
BULK = Stream(
    "bulk",
    f"TCP, one way, as fast as the client reads: processor time of the server per {BULK_SIZE} bytes",
    Figure.CPU,
    _systems("bulk"),
    "bulk_client:Client",
    BULK_SIZE,
    4,
    f"each asked for a stream of {BULK_SIZE}-byte messages; the transport says when to pause",
)

TLS_ECHO = Stream(
    "tls-echo",
    "TLS echo: processor time of the server per message of 1024 bytes",
    Figure.CPU,
    _systems("echo", secure=True),
    "tls_clients:Echo",
    1024,
    CONNECTIONS,
    "each with one message of 1024 bytes under way, TLS 1.3",
)
TLS_BULK = Stream(
    "tls-bulk",
    f"TLS, one way, as fast as the client reads: processor time of the server per {BULK_SIZE} bytes",
    Figure.CPU,
    _systems("bulk", secure=True),
    "tls_clients:Bulk",
    BULK_SIZE,
    4,
    f"each asked for a stream of {BULK_SIZE}-byte messages, TLS 1.3; the transport says when to pause",
)
TLS_HANDSHAKES = Stream(
    "tls-handshakes",
    "TLS handshakes: processor time of the server per connection",
    Figure.CPU,
    _systems("echo", secure=True),
    "tls_clients:Handshakes",
    1,
    1,
    "one after the other, each with a full handshake (TLS 1.3, ECDSA) and one byte there and back",
)

"""TCP echo: what a server's process spends on a message. The client is a process of its own, the same for all."""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import closing, contextmanager

from benchmarks.figures import Figure, Round
from benchmarks.process import WorkerFailed, WorkerProcess
from benchmarks.scenarios.base import SYSTEMS, Bench, Entry, Scenario, Unavailable

CONNECTIONS = 20
SIZE = 1024


class EchoBench(Bench):
    """The client, and where each server listens."""

    def __init__(self, client: WorkerProcess) -> None:
        super().__init__(f"{CONNECTIONS} connections on loopback, each with one message of {SIZE} bytes under way", {})
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


class Echo(Scenario):
    """Bytes, there and back."""

    @contextmanager
    def open(self) -> Iterator[Bench]:
        """The client, not connected."""
        if not hasattr(select, "epoll"):
            raise Unavailable("the client waits by epoll, which this system does not have")
        with closing(WorkerProcess("the client of echo")) as client:
            arguments = {"connections": CONNECTIONS, "size": SIZE}
            client.ask("start", factory=f"{SYSTEMS}.echo_client:Client", arguments=arguments)
            yield EchoBench(client)


ECHO = Echo(
    "echo",
    f"TCP echo: processor time of the server per message of {SIZE} bytes",
    Figure.CPU,
    (
        Entry("netcore", "echo_netcore:Server"),
        Entry("netcore-uvloop", "echo_netcore:Server", {"loop": "uvloop"}),
        Entry("twisted", "echo_twisted:Server"),
        Entry("asyncio", "echo_asyncio:Server"),
        Entry("asyncio-uvloop", "echo_asyncio:Server", {"loop": "uvloop"}),
        Entry("bare-epoll", "echo_epoll:Server"),
    ),
)

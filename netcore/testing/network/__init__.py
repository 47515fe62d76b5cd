"""A network of hosts in memory, and virtual time in which everything happens there.

`FakeNetwork` has hosts, and links between them that have latency, lose packets, and can be cut. Each `Host` is a
reactor: netcore's own, with its own transports, on sockets and a clock that are fake. So endpoints, services, TLS,
timers and threads behave as they do on any reactor, with less around them: no descriptor is opened, no time is waited
for, and a test that has passed once passes always.

    with FakeNetwork(seed=1, latency=0.05) as net:
        server, client = net.host("10.0.0.1", name="db.example"), net.host("10.0.0.2")
        server.listenTCP(5432, factory)
        service = ClientService(HostnameEndpoint(client, "db.example", 5432), clients, clock=client)
        service.startService()
        net.advance(1)                      # seconds
        net.partition(server, client)       # silence, until net.heal()
        net.advance(60)
        net.heal(reset=True)
        net.runUntil(service.whenConnected())

What can be done to it: `FakeNetwork.link` (latency, jitter, loss, bandwidth), `FakeNetwork.partition` and
`FakeNetwork.heal`, `FakeNetwork.refuse` and `FakeNetwork.ignore` for one port, `Connection.reset` and
`Connection.silence` for one of `FakeNetwork.connections`, `FakeNetwork.crash` for a host; ``net.callLater(5,
net.partition, server, client)`` does it later. `FakeNetwork.log` tells what has happened, and so do errors.

asyncio's programs run there too, started by `Host.runUntil` or `Host.createTask`: the loop beneath is a `VirtualLoop`,
which is of use without a network as well.

What is as on Linux (tcp(7)), and what is simpler:

* Connecting takes three packets. The first is sent again after 1, 3, 7, ... s, and given up after 127 s; a host without
  a listener refuses; one that is down, ignores, or has its queue full, is silent.
* What is sent arrives in its order. While the link is down it is kept, and arrives a latency after the link was mended
  (Linux may wait for up to two minutes more); if it is not mended for *givesUp* seconds, the connection fails. Who
  sends nothing notices nothing.
* A connection holds *window* bytes in each direction that the peer has not read; so producers are paused.
* Resets are sent once: if they are lost, the peer finds out by sending something.
* On the way from a host to itself, 127.0.0.1 included, no time passes, and nothing is lost.
* There are no datagrams, UNIX sockets, child processes, or descriptors of one's own: hosts refuse them.

Time stands still while jobs are done in threads, of the reactors' pools (of any `netcore.threadpool.ThreadPool`, in
fact) or of the loop's executors; of other threads it knows nothing. A thread that waits for what only the test brings
about says so by `heldUp`. Threads are not as predictable as the rest.
"""

from netcore.testing.network._host import Host
from netcore.testing.network._loop import VirtualLoop, heldUp
from netcore.testing.network._network import FakeNetwork
from netcore.testing.network._selector import Stalled
from netcore.testing.network._wire import Connection, Link

__all__ = ["Connection", "FakeNetwork", "Host", "Link", "Stalled", "VirtualLoop", "heldUp"]

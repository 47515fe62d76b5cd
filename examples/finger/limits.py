"""How long things may take and how many there may be: the bounds of the service, in one place.

From one number, `Limits.answer_within`, follow all others that a question passes on its way. The database's share (wait
for a connection, then run) is below the whole, so that an outage is normally found out, and told, by the pool; the
whole holds even if the store never answers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from examples.finger.protocol import BUSY, encode
from netcore.protocols.limits import ListenerLimits

__all__ = ["DEFAULT", "GRACE", "PATIENCE", "QUIET", "Limits", "make_room"]

PATIENCE = 10
"""How many seconds a client has to begin its question, and then to end it."""
GRACE = 1
"""For how many seconds the rest of a line that is too long is read, and dropped."""
QUIET = 60
"""For how many seconds no other outage is logged: a database that comes and goes must not fill the disk."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a service takes upon itself.

    Args:
        answer_within: seconds from a question to its answer, or to the word that there is none.
        clients: how many clients are served at a time, and half as many of one address. Those beyond are told to come
            back, or, if many come, just closed. The default serves two thousand at once with room to spare.
    """

    answer_within: float = 10.0
    clients: int = 4000

    @property
    def wait(self) -> float:
        """Seconds that a question waits for a connection.

        The most of the time: two thousand questions that come at once are a queue of two seconds on a small machine,
        which is no outage.
        """
        return 0.6 * self.answer_within

    @property
    def run(self) -> float:
        """Seconds that its statements run; they take milliseconds. What waits longer waits for a lock, or for a server
        that has stopped."""
        return 0.3 * self.answer_within

    @property
    def connect(self) -> float:
        """Seconds for an attempt to connect, or a check of a connection.

        Half of what a question waits, so that there is a second attempt; and, at three seconds, enough for a first
        segment that was lost, which is sent again after one (RFC 6298, 2.1).
        """
        return 0.5 * self.wait

    def of_listener(self) -> ListenerLimits:
        """What a client may ask of the service before it has an answer, and how slowly it may take that."""
        return ListenerLimits(
            connections=self.clients,
            connectionsPerPeer=max(1, self.clients // 2),
            firstByte=PATIENCE,
            request=PATIENCE,
            overflow=encode([BUSY]),
        )


DEFAULT = Limits()

SPARE = 110
"""How many descriptors there are besides the clients': the database's, the loop's, the log's, and those of clients that
are told to come back: a tenth of the others, at least ten (`ListenerLimits.overflow`)."""


def make_room(limits: Limits) -> Limits:
    """Ask the system for as many descriptors as *limits* may need; it often gives 1,024 to those who do not ask.

    Returns: *limits*, or others with as few clients as it leaves room for.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return limits
    most, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.clients + limits.clients // 10 + SPARE
    if most == resource.RLIM_INFINITY or most >= wanted:
        return limits
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return replace(limits, clients=min(limits.clients, max(1, (most - SPARE) * 10 // 11)))

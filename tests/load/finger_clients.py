"""Many finger clients at once, who check every answer.

    python -m tests.load.finger_clients --write people.csv --people 1000
    python -m examples.finger import people.csv
    python -m examples.finger serve &
    python -m tests.load.finger_clients --port 7979 --people 1000 --clients 2000 --queries 100000 --pid $!

A client asks, reads to the end, checks, and asks again on a new connection. What came is counted by kind:

- right: to the byte what is known about that person;
- unavailable, busy: the server said so; slow: it said that the client was, which on a busy machine is true of this one;
- refused: nobody listened; cut: the connection ended without an answer;
- hung: no answer within the deadline; wrong: any other answer. These two make the exit status 1.

With ``--pid``, the server's memory, threads and descriptors are read from /proc now and then.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import time
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from examples.finger.limits import Limits, make_room
from examples.finger.people_csv import write
from examples.finger.protocol import BUSY, REFUSED, TOO_SLOW, UNAVAILABLE, encode, long_records, short_records
from examples.finger.records import FIELDS, Person

KINDS = ("right", "unavailable", "busy", "slow", "refused", "cut", "hung", "wrong")
FIRST_NAMES = ("Ada", "Björn", "Chloé", "Dmitri", "Eva", "Fatima", "Grace", "Hugo", "Inês", "Jörg")


def person(number: int) -> Person:
    """The one with that number: a word of the name is nobody else's."""
    return Person(
        f"user{number:06}",
        f"{FIRST_NAMES[number % len(FIRST_NAMES)]} Number{number}",
        office=f"Room {number % 977}",
        phone=f"+44 {number}",
        project="" if number % 3 else "Growing and shrinking",
        plan=f'The plan of {number}.\nIts second line, "quoted".' if number % 2 else "",
    )


def exchange(number: int, people: int) -> tuple[bytes, bytes]:
    """Question *number*, and the answer to it. Every form of question has its turn."""
    who = person(number * 7919 % people)  # a prime: neighbours in time are none in the index
    form = number % 10
    if form < 6:
        return f"{who.login}\r\n".encode(), encode(short_records(who.login, [who]))
    if form == 6:
        return f"/W {who.login}\r\n".encode(), encode(long_records(who.login, [who]))
    if form == 7:
        return f"{who.name.split()[1]}\n".encode(), encode(short_records("", [who]))
    if form == 8:
        return b"nobody.of.that.name\r\n", b"nobody.of.that.name: no such user\r\n"
    return b"somebody@elsewhere\r\n", encode([REFUSED])


TOLD = {encode([UNAVAILABLE]): "unavailable", encode([BUSY]): "busy", encode([TOO_SLOW]): "slow", b"": "cut"}


class Load:
    """Clients that ask until there is no question left, or no time."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.counts: Counter[str] = Counter()
        self.latencies: dict[str, array[float]] = {kind: array("d") for kind in KINDS}
        self.surprises: list[tuple[bytes, bytes]] = []
        self._numbers = iter(range(arguments.queries or sys.maxsize))
        self._ends = time.monotonic() + (arguments.seconds or float("inf"))

    async def run(self) -> None:
        """Have them all ask."""
        watching = asyncio.create_task(self._watch())
        async with asyncio.TaskGroup() as clients:
            for _ in range(self.arguments.clients):
                clients.create_task(self._client())
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching

    async def _client(self) -> None:
        for number in self._numbers:  # shared by all
            if time.monotonic() > self._ends:
                return
            question, expected = exchange(number, self.arguments.people)
            began = time.monotonic()
            answer = b""
            try:
                async with asyncio.timeout(self.arguments.deadline):
                    answer = await self._ask(question)
            except TimeoutError:
                kind = "hung"
            except ConnectionRefusedError:
                kind = "refused"
            except OSError:
                kind = "cut"
            else:
                kind = "right" if answer == expected else TOLD.get(answer, "wrong")
            if kind == "wrong" and len(self.surprises) < 5:
                self.surprises.append((question, answer))
            self.counts[kind] += 1
            self.latencies[kind].append(time.monotonic() - began)
            if kind == "refused":
                await asyncio.sleep(0.1)  # else nothing is done but being refused

    async def _ask(self, question: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(self.arguments.host, self.arguments.port)
        try:
            writer.write(question)
            return await reader.read(-1)
        finally:
            writer.close()

    async def _watch(self) -> None:
        began = last = time.monotonic()
        before: Counter[str] = Counter()
        while True:
            await asyncio.sleep(self.arguments.every)
            now = time.monotonic()
            counts = self.counts - before
            told = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind]) or "nothing"
            print(f"{now - began:6.1f} s  {counts.total() / (now - last):6.0f}/s  {told}{self._server()}", flush=True)
            before, last = self.counts.copy(), now

    def _server(self) -> str:
        return f"  [{server(self.arguments.pid)}]" if self.arguments.pid else ""


def server(pid: int) -> str:
    """The memory, threads and descriptors of a process, as Linux has them."""
    try:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
    except OSError as error:
        return f"no process {pid}: {error.strerror}"
    megabytes = int(status["VmRSS"].split()[0]) / 1024
    return f"{megabytes:.1f} MB, {status['Threads'].strip()} threads, {descriptors} descriptors"


def percentiles(latencies: array[float]) -> Iterator[str]:
    """Milliseconds: the median, the tail, the longest."""
    ordered = sorted(latencies)
    for name, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)):
        yield f"{name} {ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000:.0f}"


def main() -> int:
    """The command. Returns: its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7979)
    parser.add_argument("--clients", type=int, default=50, help="how many ask at once (default: %(default)s)")
    parser.add_argument("--queries", type=int, help="how many questions in all (default: no end)")
    parser.add_argument("--seconds", type=float, help="for how long (default: no end)")
    parser.add_argument("--people", type=int, default=1000, help="how many of --write the server has")
    parser.add_argument("--deadline", type=float, default=30.0, help="seconds after which a client counts as hung")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two lines of figures")
    parser.add_argument("--pid", type=int, help="the server's process, to be watched")
    parser.add_argument("--write", metavar="FILE.csv", help="write the people for `import`, and ask nothing")
    arguments = parser.parse_args()
    if arguments.write:
        people = ({field: getattr(person(number), field) for field in FIELDS} for number in range(arguments.people))
        Path(arguments.write).write_bytes(write(people, header=True))
        return 0
    if arguments.queries is None and arguments.seconds is None:
        parser.error("say --queries, --seconds or both")
    make_room(Limits(clients=arguments.clients))
    load = Load(arguments)
    if arguments.pid:
        print(f"before  [{server(arguments.pid)}]")
    began = time.monotonic()
    asyncio.run(load.run())
    took = time.monotonic() - began
    print(f"{load.counts.total()} questions of {arguments.clients} clients in {took:.1f} s: ", end="")
    print(f"{load.counts.total() / took:.0f}/s")
    for kind in KINDS:
        if latencies := load.latencies[kind]:
            print(f"  {kind:<12}{load.counts[kind]:>8}   ms: {', '.join(percentiles(latencies))}")
    for question, answer in load.surprises:
        print(f"  wrong: {question!r} was answered {answer!r}")
    if arguments.pid:
        time.sleep(1)  # what it closes now is not what it keeps
        print(f"after   [{server(arguments.pid)}]")
    return 1 if load.counts["wrong"] or load.counts["hung"] else 0


if __name__ == "__main__":
    sys.exit(main())

"""Clients that hold connections to the finger service and do next to nothing, and honest ones who ask meanwhile.

    python -m tests.load.finger_clients --write people.csv --people 1000
    python -m examples.finger import people.csv
    python -m examples.finger serve &
    python -m tests.load.slowloris --slow 1000 --seconds 120 --pid $!

A slow client connects, sends a byte now and then, and never a line end; when it is cut off it comes back at once. With
``--addresses`` they come from that many addresses of the loopback network (Linux), else all from one. Honest clients,
from another address, ask one question after the other, as those of `tests.load.finger_clients` do. It prints how these
were served, what became of the slow ones, and the server's memory and descriptors, now and then. The exit status is 1
unless all honest ones had their answers.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import sys
import time
from array import array
from collections import Counter

from examples.finger.limits import Limits, make_room
from tests.load.finger_clients import exchange, percentiles, server


class Attack:
    """Slow clients, honest clients, and what became of them."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.standing = 0
        self.slow: Counter[str] = Counter()
        self.honest: Counter[str] = Counter()
        self.latencies = array("d")

    async def run(self) -> None:
        """Have them all at it for the time that was asked for."""
        tasks = [asyncio.create_task(self._slow(number)) for number in range(self.arguments.slow)]
        tasks += [asyncio.create_task(self._honest(number)) for number in range(self.arguments.honest)]
        tasks.append(asyncio.create_task(self._watch()))
        await asyncio.sleep(self.arguments.seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _slow(self, number: int) -> None:
        where = self.arguments.host, self.arguments.port
        source = f"127.1.{number % self.arguments.addresses // 250}.{number % self.arguments.addresses % 250 + 1}"
        while True:
            try:
                reader, writer = await asyncio.open_connection(*where, local_addr=(source, 0))
            except OSError:
                self.slow["refused or reset"] += 1
                await asyncio.sleep(1)
                continue
            self.standing += 1
            try:
                told = await self._trickle(reader, writer)
            finally:
                self.standing -= 1
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
            self.slow[f"told {told.decode().strip()!r}" if told else "closed"] += 1
            if not told.startswith(b"You took"):
                await asyncio.sleep(1)  # it was refused

    async def _trickle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """Returns: what it was told when it was closed."""
        reading = asyncio.ensure_future(reader.read(-1))
        try:
            while not reading.done():
                writer.write(b"x")
                await asyncio.wait([reading], timeout=self.arguments.pause)
            return reading.result()
        except OSError:
            return b""
        finally:
            reading.cancel()

    async def _honest(self, first: int) -> None:
        for number in itertools.count(first, self.arguments.honest):
            question, expected = exchange(number, self.arguments.people)
            began = time.monotonic()
            answer = b""
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(30):
                    reader, writer = await asyncio.open_connection(self.arguments.host, self.arguments.port)
                    writer.write(question)
                    answer = await reader.read(-1)
                    writer.close()
            self.latencies.append(time.monotonic() - began)
            self.honest["right" if answer == expected else f"not right: {answer[:60]!r}"] += 1
            await asyncio.sleep(0.05)

    async def _watch(self) -> None:
        began = time.monotonic()
        while True:
            await asyncio.sleep(self.arguments.every)
            told = f"{time.monotonic() - began:6.1f} s  {self.standing} slow ones stand; honest: {dict(self.honest)}"
            print(told + (f"  [{server(self.arguments.pid)}]" if self.arguments.pid else ""), flush=True)


def main() -> int:
    """The command. Returns: its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7979)
    parser.add_argument("--slow", type=int, default=1000, help="how many slow clients (default: %(default)s)")
    parser.add_argument("--pause", type=float, default=3.0, help="seconds between their bytes (default: %(default)s)")
    parser.add_argument("--addresses", type=int, default=1, help="how many addresses they have (default: one)")
    parser.add_argument("--honest", type=int, default=10, help="how many honest clients (default: %(default)s)")
    parser.add_argument("--people", type=int, default=1000, help="how many the server has")
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long (default: %(default)s)")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two lines of figures")
    parser.add_argument("--pid", type=int, help="the server's process, to be watched")
    arguments = parser.parse_args()
    make_room(Limits(clients=arguments.slow + arguments.honest))
    attack = Attack(arguments)
    if arguments.pid:
        print(f"before  [{server(arguments.pid)}]")
    asyncio.run(attack.run())
    print(f"honest: {dict(attack.honest)}   ms: {', '.join(percentiles(attack.latencies))}")
    print(f"slow: {dict(attack.slow)}")
    if arguments.pid:
        time.sleep(2)  # what it closes now is not what it keeps
        print(f"after   [{server(arguments.pid)}]")
    return 0 if attack.honest.keys() == {"right"} else 1


if __name__ == "__main__":
    sys.exit(main())

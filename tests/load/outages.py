"""What clients of a pool are told while their database fails in one way or another.

    python -m tests.load.outages --clients 50 --seconds 5 [OUTAGE ...]

Clients read and write through one pool on a throw-away PostgreSQL; it is stopped, killed, made read-only, made a
standby, given another password, and filled up by other programs, and each time mended again: `tests.support.outages`
has the details, and tests/integration/asyncdb/test_outages.py is the same in short. It prints a table for docs/pool.md.
The exit status is 1 if any result was wrong.
"""

from __future__ import annotations

import argparse
import sys

from asyncdb.testing.postgres import Database, openOwnServer
from netcore.reactors import Reactor
from tests.load.running import run
from tests.support.outages import OUTAGES, Course, Scene, through
from tests.support.turns import Turns, timed


def row(name: str, course: Course, turns: Turns) -> str:
    """One line of the table."""
    failed = ", ".join(f"{count} {error}" for error, count in course.tally.failed.most_common()) or "0"
    replaced = ", ".join(f"{count} {reason}" for reason, count in course.evictions.most_common()) or "0"
    retried = f"{course.connect_failures} connects, {course.checks} checks"
    cells = (
        name,
        f"{course.lasted:.1f} s",
        f"{course.tally.right} ({course.right_meanwhile})",
        failed,
        retried,
        replaced,
        str(course.wrong),
        f"{course.recovery:.2f} s",
        f"{turns.longest * 1e3:.1f} ms",
    )
    return f"| {' | '.join(cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outages", nargs="*", metavar="OUTAGE", help=f"of {', '.join(OUTAGES)}; all without any")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--connections", type=int, default=8, help="cp_max")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long an outage lasts at least")
    arguments = parser.parse_args()
    if unknown := set(arguments.outages) - set(OUTAGES):
        parser.error(f"no such outage: {', '.join(sorted(unknown))}")
    rows, wrong = [], 0
    with openOwnServer() as postgres:
        for name in arguments.outages or OUTAGES:
            with Database(postgres) as database:

                async def main(name: str = name, database: Database = database) -> tuple[Course, Turns]:
                    scene = Scene(database, arguments.clients, arguments.connections, 0.001, arguments.seconds)
                    async with scene.played():
                        with timed(Reactor.current().loop) as turns:
                            return await through(scene, name), turns

                course, turns = run(main)
                rows.append(row(name, course, turns))
                wrong += course.wrong
                for text in course.tally.wrong:
                    print(text)
                postgres.mend()
    print(
        "\n| outage | lasted | right (while it lasted) | failed | retried by the pool | connections replaced | wrong "
        "| service back after | longest turn, CPU |\n|---|---|---|---|---|---|---|---|---|"
    )
    print("\n".join(rows))
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())

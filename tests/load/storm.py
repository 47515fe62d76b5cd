"""Many random cancels, time-outs, errors and kills against a throw-away PostgreSQL, and whether anything was wrong.

    python -m tests.load.storm --calls 20000 --seed 1

`tests.support.storm` says what is done and what is looked at; tests/integration/asyncdb/test_soak.py is the same in
short. It prints what callers were told, and what was wrong. The exit status is 1 if anything was.
"""

from __future__ import annotations

import argparse
import sys
import time

from asyncdb.testing.postgres import Database, openOwnServer
from tests.load.running import run
from tests.support.storm import Report, Storm


def show(report: Report, took: float) -> None:
    """Print it as a table."""
    kinds = sorted({kind for kind, told in report.told})
    names = sorted({told for kind, told in report.told}, key=lambda name: (name != "well", name))
    print(f"\n| call | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for kind in kinds:
        print(f"| {kind} | {' | '.join(str(report.told[kind, name] or '') for name in names)} |")
    print(f"\n{report.calls} calls in {took:.0f} s, {report.fired} answered, {report.kills} backends killed")
    print(f"of those whose outcome nobody knew: {dict(report.findings.known)}")
    for stats in report.stats.values():
        print(
            f"{stats.name}: {stats.connected} connections made, {stats.interrupts} interrupts, {stats.checks} checks, "
            f"evicted: {dict(stats.evictions)}; at the end {stats.total} there, {stats.idle} idle, "
            f"{stats.abandoned} abandoned"
        )
    print(f"wrong: {len(report.violations) + report.findings.wrong}")
    for violation in report.violations:
        print(f"  {violation}")
    if report.findings.wrong:
        print(f"  {report.findings}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--connections", type=int, default=4, help="cp_max of each of the two pools")
    arguments = parser.parse_args()
    with openOwnServer() as postgres, Database(postgres) as database:
        storm = Storm(database, arguments.calls, arguments.seed, arguments.clients, arguments.connections)
        began = time.monotonic()
        report = run(storm.run)
        show(report, time.monotonic() - began)
    return int(not report.clean)


if __name__ == "__main__":
    sys.exit(main())

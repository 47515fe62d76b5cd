"""Ten jobs that end at different times, in one DeferredList; when all have ended, its last callback stops the reactor.

Run it: python examples/deferreds/ten_jobs.py
"""

from typing import Any

from netcore import defer, reactor, task


def job(number: int) -> int:
    """One of the ten; the seventh fails."""
    if number == 7:
        raise ValueError(f"job {number} went wrong")
    print(f"job {number} ends")
    return number * number


def report(results: list[tuple[bool, Any]]) -> None:
    """The results come in the order of the jobs, whatever order these ended in."""
    for number, (success, result) in enumerate(results):
        print(f"job {number}: {result if success else f'failed: {result.getErrorMessage()}'}")


jobs = [task.deferLater(reactor, (10 - number) / 20, job, number) for number in range(10)]
every = defer.DeferredList(jobs, consumeErrors=True)  # the report looks at the failures: no one else has to
every.addCallback(report)
every.addBoth(lambda _: reactor.stop())
reactor.run()

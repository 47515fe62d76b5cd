"""The process that one system lives in: `python -m benchmarks.worker`, started and told what to do by the driver.

Orders come as lines of JSON on standard input, each is answered by one line on what was standard output: a peer that
prints does so on standard error. The end of the input ends the process, so none outlives its driver.

    {"do": "start", "factory": "module:Class", "arguments": {...}}    import, construct and start it
    {"do": "round", "operations": 1000}                               do a round, and measure it
    {"do": "stop"}

The answer is {"ok": result} or {"error": text, "missing": bool}; missing says that something it imports is not there.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import threading
import traceback
from time import perf_counter
from typing import Any, TextIO

from benchmarks import mainthread
from benchmarks.figures import percentile
from benchmarks.people import WrongAnswer


class Worker:
    """Carries orders out."""

    def __init__(self) -> None:
        self._system: Any = None

    def start(self, factory: str, arguments: dict[str, Any]) -> dict[str, Any]:
        module, _, name = factory.partition(":")
        self._system = getattr(importlib.import_module(module), name)(**arguments)
        return self._system.start() or {}

    def round(self, operations: int) -> dict[str, Any]:
        before, began = _processor_time(), perf_counter()
        latencies = self._system.round(operations)
        seconds, after = perf_counter() - began, _processor_time()
        if len(latencies) != operations:
            raise WrongAnswer(f"{operations} operations were asked for, {len(latencies)} were done")
        latencies.sort()
        return {
            "operations": operations,
            "seconds": seconds,
            "cpu_seconds": after - before,
            "p50": percentile(latencies, 50),
            "p99": percentile(latencies, 99),
        }

    def call(self, method: str, arguments: dict[str, Any]) -> Any:
        """Anything else that an adapter offers its scenario."""
        return getattr(self._system, method)(**arguments)

    def processor_time(self) -> float:
        return _processor_time()

    def memory(self) -> int:
        """Bytes of memory that this process uses (RSS, proc(5))."""
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()

    def stop(self) -> None:
        self._system.stop()


def _processor_time() -> float:
    """Seconds of processor time, user and system, that all threads of this process have used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _obey(replies: TextIO) -> None:
    """Carry out orders until there are no more, or nobody reads the answers: then the process ends."""
    try:
        _carry_out(replies)
    finally:
        os._exit(0)  # whatever a system left running in the main thread or elsewhere


def _carry_out(replies: TextIO) -> None:
    worker = Worker()
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = {"ok": getattr(worker, order.pop("do"))(**order)}
        except ImportError as error:
            answer = {"error": str(error), "missing": True}
        except Exception:
            answer = {"error": traceback.format_exc(), "missing": False}
        print(json.dumps(answer), file=replies, flush=True)


def main() -> None:
    """Serve; does not return."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    threading.Thread(target=_obey, args=(replies,), name="orders", daemon=True).start()
    mainthread.serve()


if __name__ == "__main__":
    main()

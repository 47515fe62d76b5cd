"""The registry of what can be measured with systems in processes of their own."""

from benchmarks.scenarios.base import Bench, Entry, Scenario, Unavailable
from benchmarks.scenarios.echo import BULK, ECHO, ECHO_LARGE, ECHO_SMALL, TLS_BULK, TLS_ECHO, TLS_HANDSHAKES
from benchmarks.scenarios.loops import PROCESSES, THREAD_CALLS, TIMERS
from benchmarks.scenarios.queries import MATRIX, QUERY_SQLITE, UPDATE_SQLITE

__all__ = ["MATRIX", "SCENARIOS", "Bench", "Entry", "Scenario", "Unavailable"]

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        *(*MATRIX, QUERY_SQLITE, UPDATE_SQLITE, ECHO, ECHO_SMALL, ECHO_LARGE, BULK),
        *(TLS_ECHO, TLS_BULK, TLS_HANDSHAKES, TIMERS, THREAD_CALLS, PROCESSES),
    )
}

"""The registry of what can be measured with systems in processes of their own."""

from benchmarks.scenarios.base import Bench, Entry, Scenario, Unavailable
from benchmarks.scenarios.echo import ECHO
from benchmarks.scenarios.queries import QUERY_POSTGRES, QUERY_SQLITE

__all__ = ["SCENARIOS", "Bench", "Entry", "Scenario", "Unavailable"]

SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in (QUERY_POSTGRES, QUERY_SQLITE, ECHO)}

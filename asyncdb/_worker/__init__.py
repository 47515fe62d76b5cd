"""What carries the core's decisions out: calls and slots, the crew of threads, the delivery of results. Private."""

from asyncdb._worker._call import Call, Slot, Task
from asyncdb._worker._crew import Crew
from asyncdb._worker._together import Undone

__all__ = ["Call", "Crew", "Slot", "Task", "Undone"]

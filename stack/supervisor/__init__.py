"""The supervisor: starts, watches, restarts and stops every process of the platform."""

from stack.supervisor.plan import PROGRAMS, ProcessPlan, Programs
from stack.supervisor.platform import Stack

__all__ = ["PROGRAMS", "ProcessPlan", "Programs", "Stack"]

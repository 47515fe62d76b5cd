"""Polling for what has no event to wait on: what asyncdb.testing polls with, for all tests."""

from __future__ import annotations

from asyncdb.testing._waiting import has_ended, wait_until

__all__ = ["has_ended", "wait_until"]

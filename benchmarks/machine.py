"""Where the figures come from: figures without it mean nothing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

PACKAGES = (
    "Twisted",
    "psycopg2-binary",
    "psycopg",
    "psycopg-binary",
    "psycopg-pool",
    "asyncpg",
    "aiosqlite",
    "uvloop",
    "SQLAlchemy",
    "zope.interface",
)


def facts() -> dict[str, str]:
    """The machine, what else it was doing when this was called, and the versions of everything that takes part."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "processor": f"{os.cpu_count()} × {_processor()}",
        "load before": f"{load} (1, 5 and 15 minutes)",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "SQLite": sqlite3.sqlite_version,
        **{package: _version(package) for package in PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown processor"
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"

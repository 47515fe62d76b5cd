"""Here, and not in tests/, so that the doctests of README.md and docs/ run under the guard as well."""

pytest_plugins = [
    "tests.support.guard",  # first: what the other fixtures of a test open has to be closed again when the guard looks
    "tests.support.debugging",
    "tests.support.documents",
    "tests.support.finger",
    "tests.support.loops",
    "asyncdb.testing.fixtures",
    "tests.support.process",
    "pytester",
]

"""What systemd passes: sd_listen_fds(3), with an environment and descriptors of the test's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from netcore.systemd import ListenFDs


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Two descriptors in a row that are open, and inherited."""
    ends = os.pipe()
    first = os.dup(ends[0])
    while True:  # next to one another, wherever the test runs
        second = os.dup(ends[0])
        if second == first + 1:
            break
        os.close(first)
        first = second
    for each in (first, second):
        os.set_inheritable(each, True)
    yield first, second
    for each in {first, second, *ends}:
        os.close(each)


def environment(count: Any, names: str | None = None, process: Any = None) -> dict[str, str]:
    told = {"LISTEN_PID": str(process or os.getpid()), "LISTEN_FDS": str(count), "OTHER": "stays"}
    return told if names is None else {**told, "LISTEN_FDNAMES": names}


def test_the_descriptors_are_those_that_follow_the_first(pipe: tuple[int, int]) -> None:
    environ = environment(2, "one:two")
    found = ListenFDs.fromEnvironment(environ, pipe[0])
    assert found.inheritedDescriptors() == list(pipe)
    assert found.inheritedNamedDescriptors() == {"one": pipe[0], "two": pipe[1]}
    assert environ == {"OTHER": "stays"}, "no child takes them for its own"
    assert [os.get_inheritable(each) for each in pipe] == [False, False]


def test_without_names_all_are_called_unknown(pipe: tuple[int, int]) -> None:
    found = ListenFDs.fromEnvironment(environment(2), pipe[0])
    assert found.inheritedDescriptors() == list(pipe)
    assert found.inheritedNamedDescriptors() == {"unknown": pipe[1]}
    assert found._with_name("unknown") == list(pipe)


@pytest.mark.parametrize("environ", [{}, environment(2, process=1), {"LISTEN_FDS": "2"}, {"LISTEN_PID": ""}])
def test_what_is_for_nobody_or_for_another_process_is_not_taken(environ: dict[str, str]) -> None:
    assert ListenFDs.fromEnvironment(environ).inheritedDescriptors() == []
    assert environ.keys() <= {"OTHER"}


@pytest.mark.parametrize("count", ["", "x", "-1", "+1", "1.5", "\u0662", "9" * 10])
def test_a_number_that_is_none_is_told(count: str) -> None:
    with pytest.raises(ValueError, match="LISTEN_FDS"):
        ListenFDs.fromEnvironment(environment(count))


def test_too_few_or_too_many_names_are_told(pipe: tuple[int, int]) -> None:
    for names in ("one", "one:two:three"):
        with pytest.raises(ValueError, match="LISTEN_FDNAMES has"):
            ListenFDs.fromEnvironment(environment(2, names), pipe[0])


def test_a_descriptor_that_is_not_open_is_told(pipe: tuple[int, int]) -> None:
    """And a large number of them costs nothing."""
    with pytest.raises(OSError, match="of LISTEN_FDS=999999999"):
        ListenFDs.fromEnvironment(environment(999_999_999), pipe[0])


def test_what_was_in_this_processs_environment_is_remembered(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ListenFDs, "_of_this_process", None)
    assert ListenFDs.fromEnvironment().inheritedDescriptors() == []
    for name, value in environment(1).items():
        monkeypatch.setenv(name, value)
    found = ListenFDs.fromEnvironment(start=pipe[0])
    assert found.inheritedDescriptors() == [pipe[0]]
    assert "LISTEN_FDS" not in os.environ
    assert ListenFDs.fromEnvironment() is found


def test_one_of_ones_own_has_what_it_was_given() -> None:
    given = ListenFDs([7, 9], ["a", "b"])
    assert given.inheritedDescriptors() == [7, 9]
    assert given.inheritedNamedDescriptors() == {"a": 7, "b": 9}
    assert repr(given) == "<ListenFDs (7, 9) ('a', 'b')>"

"""Giving up root: in the right order, or a clear refusal. The system calls are replaced: nothing is given up here."""

from __future__ import annotations

import os
import pwd
from typing import Any

import pytest

from netcore.application._privileges import PrivilegesError, give_up


class System:
    """The process's ids, and the calls that change them."""

    def __init__(self, uid: int, gid: int) -> None:
        self.uid, self.gid = uid, gid
        self.calls: list[Any] = []
        self.obeys = True

    def initgroups(self, name: str, gid: int) -> None:
        self.calls.append(("initgroups", name, gid))

    def setgroups(self, groups: list[int]) -> None:
        self.calls.append(("setgroups", groups))

    def setgid(self, gid: int) -> None:
        assert self.uid == 0, "the user was given up before the group"
        self.calls.append(("setgid", gid))
        self.gid = gid

    def setuid(self, uid: int) -> None:
        self.calls.append(("setuid", uid))
        if self.obeys:
            self.uid = uid


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Any:
    def install(uid: int, gid: int) -> System:
        system = System(uid, gid)
        for name in ("initgroups", "setgroups", "setgid", "setuid"):
            monkeypatch.setattr(os, name, getattr(system, name))
        for name in ("getuid", "geteuid"):
            monkeypatch.setattr(os, name, lambda: system.uid)
        monkeypatch.setattr(os, "getegid", lambda: system.gid)
        return system

    return install


def test_asking_for_nothing_changes_nothing(system: Any) -> None:
    calls = system(0, 0).calls
    assert not give_up(None, None)
    assert calls == []


def test_asking_for_who_one_is_changes_nothing_and_needs_no_rights(system: Any) -> None:
    calls = system(1000, 1001).calls
    assert not give_up(1000, 1001)
    assert not give_up(1000, None)
    assert not give_up(None, 1001)
    assert calls == []


@pytest.mark.parametrize(("uid", "gid"), [(0, None), (1000, 5), (5, 1001), (None, 5)])
def test_only_root_becomes_somebody_else(system: Any, uid: int, gid: int) -> None:
    calls = system(1000, 1001).calls
    with pytest.raises(PrivilegesError, match="only root can become"):
        give_up(uid, gid)
    assert calls == []


def test_groups_go_first_and_the_user_last(system: Any) -> None:
    user = next(entry for entry in pwd.getpwall() if entry.pw_uid)
    calls = system(0, 0).calls
    assert give_up(user.pw_uid, 4711)
    assert calls == [("initgroups", user.pw_name, 4711), ("setgid", 4711), ("setuid", user.pw_uid)]


def test_a_user_comes_with_the_group_of_the_user_database(system: Any) -> None:
    user = next(entry for entry in pwd.getpwall() if entry.pw_uid)
    calls = system(0, 0).calls
    assert give_up(user.pw_name, None)
    assert calls[1:] == [("setgid", user.pw_gid), ("setuid", user.pw_uid)]


def test_a_number_that_nobody_has_needs_a_group(system: Any) -> None:
    calls = system(0, 0).calls
    with pytest.raises(PrivilegesError, match="give gid"):
        give_up(3_999_999, None)
    assert calls == []
    assert give_up(3_999_999, 4711)
    assert calls == [("setgroups", [4711]), ("setgid", 4711), ("setuid", 3_999_999)]


def test_a_group_alone_keeps_the_user(system: Any) -> None:
    calls = system(0, 0).calls
    assert give_up(None, 4711)
    assert calls == [("setgroups", [4711]), ("setgid", 4711)]


@pytest.mark.parametrize(("uid", "gid"), [("no-such-user", None), (None, "no-such-group")])
def test_an_unknown_name_is_named(system: Any, uid: Any, gid: Any) -> None:
    system(0, 0)
    with pytest.raises(PrivilegesError, match=f"'{uid or gid}'"):
        give_up(uid, gid)


def test_a_system_that_says_no_is_an_error(system: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(groups: list[int]) -> None:
        raise PermissionError(1, "Operation not permitted")

    system(0, 0)
    monkeypatch.setattr(os, "setgroups", refuse)
    with pytest.raises(PrivilegesError, match="cannot become uid 3999999, gid 4711: Operation not permitted"):
        give_up(3_999_999, 4711)


def test_a_system_that_only_says_yes_is_an_error(system: Any) -> None:
    system(0, 0).obeys = False
    with pytest.raises(PrivilegesError, match="did not let go"):
        give_up(3_999_999, 4711)


def test_a_platform_without_users_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pwd", None)
    with pytest.raises(PrivilegesError, match="need a POSIX system"):
        give_up(1, None)
    assert not give_up(None, None)

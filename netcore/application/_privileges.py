"""Becoming another user for good, once what needs root's rights is done.

The order is what makes it safe: the supplementary groups first and the user last, because each step needs rights that
the next one takes away. Afterwards it is checked that there is no way back.
"""

from __future__ import annotations

import os

__all__ = ["PrivilegesError", "give_up"]


class PrivilegesError(Exception):
    """The process could not become the user or group asked for. Says what to do; nothing is to be tried again."""


def give_up(uid: int | str | None, gid: int | str | None) -> bool:
    """Become user *uid* and group *gid*, by number or name, with the groups that user is in.

    Args:
        uid: None: stay who we are, in no group but *gid*.
        gid: None: the user's own group.
    Returns: whether anything had to be changed; a process that is that user already needs no rights.
    Raises: PrivilegesError: unknown names, no right to do it, or no such thing on this platform.
    """
    if uid is None and gid is None:
        return False
    try:
        import pwd
    except ImportError:
        raise PrivilegesError("uid and gid need a POSIX system: leave them out here") from None
    name, user, group = _names_to_numbers(uid, gid)
    if user in {None, os.geteuid()} and group in {None, os.getegid()}:
        return False
    if os.geteuid() != 0:
        raise PrivilegesError(
            f"only root can become uid {user}, gid {group}; this is uid {os.geteuid()}, gid {os.getegid()}: "
            "start it as root, or leave uid and gid out"
        )
    if user is not None and group is None:
        try:
            group = pwd.getpwuid(user).pw_gid
        except KeyError:
            raise PrivilegesError(f"uid {user} is in no user database, which would tell its group: give gid") from None
    assert group is not None
    try:
        if name is not None:
            os.initgroups(name, group)
        else:
            os.setgroups([group])
        os.setgid(group)
        if user is not None:
            os.setuid(user)
    except OSError as error:  # root without the capabilities, as in some containers
        raise PrivilegesError(f"cannot become uid {user}, gid {group}: {error.strerror}") from None
    if os.getegid() != group or (user is not None and (os.getuid(), os.geteuid()) != (user, user)):
        raise PrivilegesError(f"the system did not let go of uid {os.geteuid()}, gid {os.getegid()}")
    return True


def _names_to_numbers(uid: int | str | None, gid: int | str | None) -> tuple[str | None, int | None, int | None]:
    """The user's name if the user database has it, then user and group as numbers."""
    import grp
    import pwd

    name: str | None = None
    try:
        if isinstance(uid, str):
            name, uid = uid, pwd.getpwnam(uid).pw_uid
        elif uid is not None:
            try:
                name = pwd.getpwuid(uid).pw_name
            except KeyError:
                pass  # a number needs no name
        if isinstance(gid, str):
            gid = grp.getgrnam(gid).gr_gid
    except KeyError as error:
        raise PrivilegesError(str(error.args[0])) from None  # "getpwnam(): name not found: 'nobodi'"
    return name, uid, gid

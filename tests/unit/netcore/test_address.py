"""Addresses: when two are the same, and how they read."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from netcore.address import IPv4Address, PeerCredentials, UNIXAddress


@pytest.mark.parametrize(
    ("name", "stored", "text"),
    [
        ("/run/x", b"/run/x", "UNIXAddress('/run/x')"),
        (b"/run/x", b"/run/x", "UNIXAddress('/run/x')"),
        ("\0abstract", b"\0abstract", "UNIXAddress('\\x00abstract')"),
        (os.fsdecode(b"/run/\xff"), b"/run/\xff", "UNIXAddress('/run/\\udcff')"),
        (None, None, "UNIXAddress(None)"),
        ("", None, "UNIXAddress(None)"),
    ],
)
def test_a_unix_address_has_its_name_as_bytes_and_shows_it_as_text(
    name: str | bytes | None, stored: bytes | None, text: str
) -> None:
    address = UNIXAddress(name)
    assert address.name == stored
    assert repr(address) == text
    assert address == UNIXAddress(stored)
    assert hash(address) == hash(UNIXAddress(stored))


def test_unix_addresses_with_different_names_differ() -> None:
    different = [UNIXAddress(name) for name in (None, "/run/x", "/run/y", "\0x", "\0y", "x\0y")]
    assert [a == b for a in different for b in different] == [a is b for a in different for b in different]
    assert len(set(different)) == len(different)
    assert UNIXAddress("/run/x") != "/run/x"
    assert UNIXAddress("/run/x") != IPv4Address("TCP", "/run/x", 0)


def test_two_paths_to_one_file_are_one_address(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "other").touch()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "nowhere").symlink_to("none")
    file, other, link = (UNIXAddress(str(tmp_path / name)) for name in ("file", "other", "link"))
    assert file == link
    assert hash(file) == hash(link)
    assert file != other
    assert file != UNIXAddress(str(tmp_path / "nowhere"))


def test_what_is_kept_under_a_path_is_found_when_its_file_has_gone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    kept = {UNIXAddress(str(path)): "kept"}
    path.unlink()
    assert kept[UNIXAddress(str(path))] == "kept"


def test_addresses_and_credentials_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        UNIXAddress("/run/x").name = b"/run/y"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        PeerCredentials(1, 2, 3).uid = 0  # type: ignore[misc]

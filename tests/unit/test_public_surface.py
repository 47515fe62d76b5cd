"""What users can import is what we decided they can."""

from __future__ import annotations

from pathlib import Path

from tests.support.surface import public_modules, surface

SNAPSHOT = Path(__file__).with_name("public_surface.txt")


def test_public_names_and_signatures_are_those_of_the_snapshot() -> None:
    now, decided = set(surface()), set(SNAPSHOT.read_text().splitlines())
    hint = "if that is meant: python -m tests.support.surface > tests/unit/public_surface.txt"
    assert sorted(now - decided) == [], f"new or changed; {hint}"
    assert sorted(decided - now) == [], f"gone or changed; {hint}"


def test_every_public_module_says_what_is_public() -> None:
    missing = [module.__name__ for module in public_modules() if not hasattr(module, "__all__")]
    assert missing == []

"""Kinds of endpoints that other distributions bring, by entry points: the name is the kind, as in ``kind:...``.

They are looked for only when a kind is not known here, so that nothing is imported, and no directory read, for the
others; and a plugin that is broken breaks nothing but its own strings.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from netcore.endpoints._strings import Description

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["CLIENT", "SERVER", "PluginKind", "names_of_plugins", "plugin"]


@dataclass(frozen=True, slots=True)
class PluginKind:
    """Plugins of one direction.

    Attributes: *group*, of the entry points; *parse*, the method of a parser; *does*, the one of an endpoint.
    """

    group: str
    parse: str
    does: str


SERVER = PluginKind("netcore.endpoints.server", "parseStreamServer", "listen")
CLIENT = PluginKind("netcore.endpoints.client", "parseStreamClient", "connect")


def names_of_plugins(kind: PluginKind) -> list[str]:
    """What the plugins of *kind* are called."""
    return sorted({each.name for each in _entry_points(kind)})


def plugin(kind: PluginKind, description: Description) -> Plugin | None:
    """What reads *description*, or None.

    Raises: ValueError: several distributions bring one.
    """
    found = [each for each in _entry_points(kind) if each.name.lower() == description.kind]
    if len(found) > 1:
        told = " and ".join(sorted(map(_distribution, found)))
        raise description.mistake(f"{told} both say what {description.kind!r} is: uninstall one")
    return Plugin(kind, description, found[0]) if found else None


def _entry_points(kind: PluginKind) -> tuple[EntryPoint, ...]:
    return _installed(kind.group, tuple(sys.path))


@lru_cache(maxsize=2)  # of each direction: every look reads what is said of every distribution
def _installed(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    from importlib.metadata import entry_points  # takes a while, which programs without plugins need not spend

    return tuple(entry_points(group=group))


def _distribution(entry: EntryPoint) -> str:
    return entry.value if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"


@dataclass(frozen=True, slots=True)
class Plugin:
    """The plugin that one endpoint string needs."""

    kind: PluginKind
    description: Description
    entry: EntryPoint

    def endpoint(self, reactor: Any) -> Any:
        """The endpoint.

        Raises: ValueError: the plugin cannot be loaded, is none, raises, or makes something else.
        """
        try:
            parser = self.entry.load()
            if isinstance(parser, type) and hasattr(parser, self.kind.parse):
                parser = parser()  # else the reactor would be its *self*, and the first argument the reactor
        except Exception as error:
            raise self._mistake(f"cannot be loaded: {type(error).__name__}: {error}") from error
        parse = getattr(parser, self.kind.parse, parser)
        if not callable(parse):
            raise self._mistake(f"is neither callable nor has it a {self.kind.parse}")
        description = self.description
        try:
            made = parse(reactor, *description.positional, **description.named)
        except Exception as error:
            raise self._mistake(f"says: {type(error).__name__}: {error}") from error
        if not callable(getattr(made, self.kind.does, None)):
            raise self._mistake(f"made {made!r}, which has no {self.kind.does}()")
        return made

    def _mistake(self, what: str) -> ValueError:
        value = self.entry.value
        return self.description.mistake(f"the plugin {value} of {_distribution(self.entry)} {what}")
